// Run by browser.py behind PAGE and WIDTHS: shows the page in frames of these widths and measures each. The answer is
// the title of the document, as hexadecimal digits of UTF-8.

const STYLES = [
  "h1", "h2", ".kind", ".facts", ".verdict p", ".note", ".warning", "td", "th", "caption", "dt", "dd", "small",
  "figcaption strong", "figcaption span", ".legend li", "a.term", "summary", "footer", "svg text", "tr.own td",
];

function rgba(colour) {
  const found = colour.match(/[\d.]+/g).map(Number);
  return found.length < 4 ? [...found, 1] : found;
}

function luminance([r, g, b]) {
  const [x, y, z] = [r, g, b].map((v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
  return 0.2126 * x + 0.7152 * y + 0.0722 * z;
}

function ground(element, view) {
  for (let one = element; one; one = one.parentElement) {
    const colour = rgba(view.getComputedStyle(one).backgroundColor);
    if (colour[3] === 1) return colour;
  }
  return [255, 255, 255, 1];
}

function contrast(element, view) {
  const style = view.getComputedStyle(element);
  const [one, other] = [rgba(element.closest("svg") ? style.fill : style.color), ground(element, view)].map(luminance);
  return (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
}

const name = (element) => `${element.tagName}.${element.getAttribute("class") || ""} ${element.textContent.slice(0, 40)}`;

function measure(frame) {
  const view = frame.contentWindow, page = frame.contentDocument, root = page.documentElement;
  const all = (selector, within = page) => [...within.querySelectorAll(selector)];
  const visible = (element) => element.getClientRects().length > 0;
  const drawn = all("svg").filter((svg) => svg.getAttribute("aria-hidden") !== "true");
  const outside = [], touching = [];
  let smallest = Infinity;
  for (const svg of drawn) {
    const frameBox = svg.getBoundingClientRect();
    const boxes = all("text", svg).map((text) => [text.textContent.trim(), text.getBoundingClientRect()]);
    const scale = frameBox.width / svg.viewBox.baseVal.width;
    for (const text of all("text", svg)) {
      smallest = Math.min(smallest, scale * parseFloat(view.getComputedStyle(text).fontSize));
    }
    for (const [word, box] of boxes) {
      if (box.left < frameBox.left - 1 || box.right > frameBox.right + 1 || box.top < frameBox.top - 1 ||
          box.bottom > frameBox.bottom + 1) outside.push(`${svg.getAttribute("aria-label").slice(0, 40)}: ${word}`);
    }
    if (/^Map/.test(svg.getAttribute("aria-label"))) continue; // numbers of neighbours may meet
    boxes.forEach(([word, a], i) => boxes.slice(i + 1).forEach(([other, b]) => {
      const width = Math.min(a.right, b.right) - Math.max(a.left, b.left);
      const height = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
      if (width > 1 && height > 3) touching.push(`${svg.getAttribute("aria-label").slice(0, 40)}: ${word}, ${other}`);
    }));
  }
  const faint = STYLES.flatMap((selector) => all(selector).filter(visible).map((one) => [contrast(one, view), one]))
    .filter(([ratio]) => ratio < 4.5).map(([ratio, one]) => `${ratio.toFixed(2)} ${name(one)}`);
  return {
    overflow: root.scrollWidth - view.innerWidth,
    headings: all("h1").length,
    unnamed: drawn.filter((svg) => svg.getAttribute("role") !== "img" || !svg.getAttribute("aria-label")).length +
      all("img").filter((image) => !image.alt).length,
    figures: drawn.length,
    outside, touching, faint, smallest,
    cut: all(".scroll").filter((box) => box.scrollWidth > box.clientWidth + 1).map(name),
    broken: all('a[href^="#"]').filter((a) => !page.getElementById(a.getAttribute("href").slice(1))).length,
    lost: all("main *").filter(visible).filter((one) => !one.closest(".scroll") && !one.closest("svg"))
      .filter((one) => one.getBoundingClientRect().right > view.innerWidth + 1).map(name),
    dark: luminance(rgba(view.getComputedStyle(page.body).backgroundColor)) < 0.2,
  };
}

Promise.all(WIDTHS.map((width) => new Promise((done) => {
  const frame = document.createElement("iframe");
  frame.style.width = `${width}px`;
  frame.srcdoc = PAGE;
  frame.onload = () => done([width, measure(frame)]);
  document.body.append(frame);
}))).then((found) => {
  const bytes = new TextEncoder().encode(JSON.stringify(Object.fromEntries(found)));
  document.title = [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
});
