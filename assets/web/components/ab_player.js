// One transport for up to four recordings of the same thing. All of them play together and all but one
// are muted, so that a switch is heard at once and at the same place.
const LETTERS = "ABCD";
const MOST_DRIFT_S = 0.03;
const root = element.querySelector(".rvc-ab");
let players = [];
let active = 0;
let seeking = false;

const make = (tag, className, text) => {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text !== undefined) node.textContent = text;
  return node;
};

const clock = (seconds) => {
  const whole = Math.floor(Number.isFinite(seconds) ? seconds : 0);
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
};

const stopAll = () => players.forEach((player) => player.audio.pause());

const follow = (leader) => {
  players.forEach((player, number) => {
    if (number !== active && Math.abs(player.audio.currentTime - leader.currentTime) > MOST_DRIFT_S) {
      player.audio.currentTime = leader.currentTime;
    }
  });
};

const show = (parts, texts) => {
  const leader = players[active].audio;
  const length = Math.max(...players.map((player) => player.audio.duration || 0), 0);
  if (!seeking) parts.seek.value = length ? leader.currentTime / length : 0;
  parts.seek.setAttribute("aria-valuetext", `${clock(leader.currentTime)} / ${clock(length)}`);
  parts.time.textContent = `${clock(leader.currentTime)} / ${clock(length)}`;
  parts.play.textContent = leader.paused ? "▶" : "❚❚";
  parts.play.setAttribute("aria-label", leader.paused ? texts.play : texts.pause);
  players.forEach((player, number) => {
    player.button.setAttribute("aria-pressed", String(number === active));
    player.audio.muted = number !== active;
  });
};

const choose = (number, parts, texts) => {
  if (!players[number]) return;
  const before = players[active].audio;
  active = number;
  const after = players[number].audio;
  if (Math.abs(after.currentTime - before.currentTime) > MOST_DRIFT_S) after.currentTime = before.currentTime;
  if (!before.paused && after.paused) after.play().catch(() => {});
  show(parts, texts);
};

const toggle = (parts, texts) => {
  const leader = players[active].audio;
  if (!leader.paused) {
    stopAll();
  } else {
    if (leader.ended) players.forEach((player) => { player.audio.currentTime = 0; });
    follow(leader);
    players.forEach((player) => player.audio.play().catch(() => {}));
  }
  show(parts, texts);
};

const seekTo = (share) => {
  const length = Math.max(...players.map((player) => player.audio.duration || 0), 0);
  players.forEach((player) => {
    player.audio.currentTime = Math.min(share * length, player.audio.duration || 0);
  });
};

const choiceButton = (item, number, parts, texts) => {
  const button = make("button", "rvc-ab-choice");
  button.type = "button";
  button.append(make("strong", "", LETTERS[number]), make("span", "", item.label));
  button.title = item.label;
  button.addEventListener("click", () => choose(number, parts, texts));
  return button;
};

const onKey = (event, parts, texts) => {
  const number = "1234".indexOf(event.key) >= 0 ? "1234".indexOf(event.key) : LETTERS.indexOf(event.key.toUpperCase());
  if (event.key.length === 1 && number >= 0 && !event.ctrlKey && !event.metaKey && !event.altKey) {
    choose(number, parts, texts);
    event.preventDefault();
  } else if (event.key === " " && event.target.tagName !== "BUTTON") {
    toggle(parts, texts);
    event.preventDefault();
  }
};

const build = () => {
  stopAll();
  players = [];
  active = 0;
  root.replaceChildren();
  const { items = [], texts = {} } = props.value || {};
  if (!items.length) return;
  const parts = { play: make("button", "rvc-ab-play"), seek: make("input", "rvc-ab-seek"), time: make("span", "rvc-ab-time") };
  parts.play.type = "button";
  Object.assign(parts.seek, { type: "range", min: 0, max: 1, step: 0.001, value: 0 });
  parts.seek.setAttribute("aria-label", texts.position);
  const bar = make("div", "rvc-ab-bar");
  bar.append(parts.play, parts.seek, parts.time);
  const choices = make("div", "rvc-ab-choices");
  choices.setAttribute("role", "group");
  choices.setAttribute("aria-label", texts.choices);
  items.forEach((item, number) => {
    const audio = new Audio(item.file.url);
    audio.preload = "auto";
    audio.muted = number > 0;
    const button = choiceButton(item, number, parts, texts);
    players.push({ audio, button });
    choices.append(button);
    ["timeupdate", "loadedmetadata", "play", "pause", "ended"].forEach((name) => {
      audio.addEventListener(name, () => show(parts, texts));
    });
  });
  parts.play.addEventListener("click", () => toggle(parts, texts));
  parts.seek.addEventListener("input", () => { seeking = true; seekTo(Number(parts.seek.value)); });
  parts.seek.addEventListener("change", () => { seeking = false; });
  root.append(bar, choices);
  root.onkeydown = (event) => onKey(event, parts, texts);
  root.rvcPlayers = players; // for those who look from outside
  show(parts, texts);
};

build();
watch("value", build);
