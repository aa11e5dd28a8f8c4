// What is wider than its box scrolls there; an edge that fades says so, and the keyboard may reach it.
(() => {
  "use strict";
  const BOXES = ".bd-content .highlight pre, .bd-content div.math > mjx-container, .pst-scrollable-table-container";

  const MARGIN = 8; // pixels: less than the room at the end of a line, so that no letter lies beyond the edge

  function mark(box) {
    const beyond = box.scrollWidth - box.clientWidth;
    box.classList.toggle("fades", beyond > MARGIN && box.scrollLeft < beyond - 1);
    if (beyond > 0) box.tabIndex = 0;
  }

  const known = new WeakSet();
  const sizes = new ResizeObserver((changed) => changed.forEach(({ target }) => mark(target)));

  function find() {
    for (const box of document.querySelectorAll(BOXES)) {
      mark(box);
      if (known.has(box)) continue;
      known.add(box);
      sizes.observe(box);
      box.addEventListener("scroll", () => mark(box), { passive: true });
    }
  }

  document.addEventListener("DOMContentLoaded", () => {
    find();
    // Formulas come later, and some only when they are seen.
    const article = document.querySelector(".bd-content");
    let waiting = 0;
    new MutationObserver(() => {
      clearTimeout(waiting);
      waiting = setTimeout(find, 150);
    }).observe(article, { childList: true, subtree: true });
  });
})();
