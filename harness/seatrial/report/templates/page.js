(function () {
  "use strict";
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const text = ["axis_label_text_color", "major_label_text_color", "text_color"];

  function models() {
    return Bokeh.documents.flatMap((one) => [...one._all_models.values()]);
  }

  function paint(isDark) {
    for (const model of models()) {
      for (const name of text) {
        if (name in model.properties) model[name] = isDark ? "#c3cad2" : "#40464d";
      }
    }
  }

  // a printer takes the canvases as they are when the event ends: no frame is drawn in between
  function print(isDark) {
    paint(isDark);
    for (const view of Bokeh.index.roots) view.paint();
  }

  function show(begin, end) {
    const time = models().find((one) => one.name === "time");
    if (time) time.setv({start: begin, end: end});
  }

  function ready() {
    if (!window.Bokeh || !Bokeh.documents.length) return window.setTimeout(ready, 20);
    paint(dark.matches);
    dark.addEventListener("change", () => paint(dark.matches));
    window.addEventListener("beforeprint", () => print(false));
    window.addEventListener("afterprint", () => print(dark.matches));
    const time = models().find((one) => one.name === "time");
    const whole = time && [time.start, time.end];
    for (const button of document.querySelectorAll("button[data-time]")) {
      button.addEventListener("click", () => button.dataset.time === "whole"
        ? show(...whole)
        : show(Number(button.dataset.from), Number(button.dataset.until)));
    }
    document.documentElement.dataset.charts = "drawn";
  }
  ready();
})();
