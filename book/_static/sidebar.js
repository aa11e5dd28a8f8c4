// The contents in the sidebar follow the reader: the page that is open is in sight, below the title and the search.
(() => {
  "use strict";

  function follow() {
    const link = document.querySelector(".bd-docs-nav .current.active > a");
    const bar = link?.closest(".bd-sidebar-primary");
    if (!bar) return;
    // Wide: the contents scroll by themselves. Narrow: all does, below what stays in sight.
    const item = link.closest(".sidebar-primary-item");
    const box = getComputedStyle(item).overflowY === "auto" ? item : bar;
    const above = box === bar ? (bar.querySelector(".fr-sidebar-top")?.offsetHeight ?? 0) : 0;
    const top = box.getBoundingClientRect().top + above;
    const bottom = Math.min(box.getBoundingClientRect().bottom, innerHeight);
    const { top: from, bottom: to } = link.getBoundingClientRect();
    if (from < top || to > bottom) box.scrollTop += from - (top + bottom) / 2;
  }

  document.addEventListener("DOMContentLoaded", () => {
    // After the theme, which scrolls to where the sidebar was on the page before.
    requestAnimationFrame(follow);
    document.querySelector(".primary-toggle")?.addEventListener("click", () => requestAnimationFrame(follow));
  });
})();
