// Gradio reads navigator.language once, when its own scripts start: they come after this one.
Object.defineProperty(navigator, "language", { get: () => window.rvcLanguage });
Object.defineProperty(navigator, "languages", { get: () => [window.rvcLanguage] });
window.rvcChooseLanguage = (language) => {
  document.cookie = `rvc_language=${language}; path=/; max-age=31536000; SameSite=Lax`;
  location.reload();
};
