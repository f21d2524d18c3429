// The page works without this; with it, it can be explored.
document.documentElement.classList.add("live");
const alive = [];
const figureRoot = document.getElementById("figure1-live");
if (figureRoot) {
  const live = figure(figureRoot);
  document.getElementById("figure1-still").hidden = true;
  performance.mark("figure1");
  alive.push(live.update);
  view.listeners.push(live.rebuild);
}
const explorerRoot = document.getElementById("explorer-live");
if (explorerRoot) {
  // After the first chart is on the screen.
  requestAnimationFrame(() =>
    setTimeout(async () => {
      const live = await explorer(explorerRoot);
      if (live) {
        alive.push(live.redraw);
        view.listeners.push(() => live.open());
      }
      jump();
      document.documentElement.dataset.ready = "explorer";
    }),
  );
} else {
  jump();
  document.documentElement.dataset.ready = "figure";
}
let width = innerWidth,
  waiting;
addEventListener("resize", () => {
  if (innerWidth === width) return; // a phone's bars coming and going change the height alone
  width = innerWidth;
  clearTimeout(waiting);
  waiting = setTimeout(() => alive.forEach((again) => again()), 120);
});
