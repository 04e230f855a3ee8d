// Says so when the program behind this page was closed, and how to start it again; reloads the page
// when it is back. A busy program answers late, a closed one refuses at once: only silence counts slowly.
(() => {
  const EVERY_MS = 3000, TIMEOUT_MS = 8000, REFUSALS = 2, SILENCES = 4;
  const TEXTS = {
    en: ["The program was closed.", "Start it again with go-web. A running training goes on by itself, or can be resumed; this page comes back on its own."],
    ko: ["프로그램이 종료되었습니다.", "go-web을 다시 실행하세요. 진행 중이던 학습은 계속되거나 이어서 할 수 있고, 이 페이지는 자동으로 다시 연결됩니다."],
    ja: ["プログラムが終了しました。", "go-web をもう一度起動してください。実行中の学習はそのまま続くか、再開できます。このページは自動的に再接続されます。"],
    "zh-CN": ["程序已关闭。", "请重新启动 go-web。正在进行的训练会继续运行，或可以继续训练；本页面会自动重新连接。"],
    "zh-TW": ["程式已關閉。", "請重新啟動 go-web。進行中的訓練會繼續執行，或可以接著訓練；本頁面會自動重新連線。"],
  };
  const address = new URL("gradio_api/app_id", location.origin + location.pathname.replace(/[^/]*$/, ""));
  let known = null, weight = 0, asking = false;

  const banner = () => document.getElementById("rvc-closed");
  const show = () => {
    if (banner()) return;
    const [head, text] = TEXTS[window.rvcLanguage] || TEXTS.en;
    const box = document.createElement("div");
    box.id = "rvc-closed";
    box.setAttribute("role", "alert");
    const strong = document.createElement("strong");
    strong.textContent = head;
    box.append(strong, " ", text);
    document.body.append(box);
  };

  const ask = async () => {
    if (asking) return;
    asking = true;
    try {
      const answer = await fetch(address, { cache: "no-store", signal: AbortSignal.timeout(TIMEOUT_MS) });
      if (answer.status >= 500) throw new TypeError("a proxy answers for a program that is gone");
      if (!answer.ok) return;  // it lives, and asks to log in
      const { app_id } = await answer.json();
      const restarted = known !== null && app_id !== known;
      if (banner() || restarted) return location.reload();
      known = app_id;
      weight = 0;
    } catch (error) {
      weight += error.name === "TimeoutError" ? 1 / SILENCES : 1 / REFUSALS;
      if (weight >= 1) show();
    } finally {
      asking = false;
    }
  };

  addEventListener("pageshow", () => setTimeout(ask, EVERY_MS));
  document.addEventListener("visibilitychange", () => document.hidden || ask());
  setInterval(() => document.hidden || ask(), EVERY_MS);
})();
