// A list of recordings, each with the browser's own player. Those already there are kept while others come.
const root = element.querySelector(".rvc-players");
let shown = [];

const row = (item) => {
  const figure = document.createElement("figure");
  const caption = document.createElement("figcaption");
  caption.textContent = item.label;
  const audio = document.createElement("audio");
  Object.assign(audio, { controls: true, preload: "none", src: item.file.url });
  audio.setAttribute("aria-label", item.label);
  figure.append(caption, audio);
  return figure;
};

const build = () => {
  const items = (props.value || {}).items || [];
  const same = shown.every((url, number) => items[number] && items[number].file.url === url);
  if (!same || !root.children.length) {
    root.replaceChildren();
    shown = [];
  }
  items.slice(shown.length).forEach((item) => root.append(row(item)));
  shown = items.map((item) => item.file.url);
};

build();
watch("value", build);
