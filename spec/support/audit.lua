--- What every view of the page owes to those who do not see it well, or use no pointer: an expression for a browser
--- whose value is a list of faults. Each control and picture has a name, ids are not given twice, and text stands out
--- from what is behind it by WCAG's AA: 4.5 to 1, large text 3 to 1.

return [[(() => {
  const faults = new Set();
  const shown = (e) => e.checkVisibility({ opacityProperty: true, visibilityProperty: true })
    && e.getBoundingClientRect().width > 1 && !e.closest("[aria-hidden=true]");
  const words = (e) => [...e.childNodes].map((n) => n.nodeType === 3 ? n.data
    : n.nodeType === 1 && !n.matches("select, textarea") ? words(n) : "").join("");
  const named = (e) => [e.getAttribute("aria-label"), e.getAttribute("alt"),
    ...(e.getAttribute("aria-labelledby") || "").split(" ").map((id) => document.getElementById(id)?.textContent),
    ...[...(e.labels || [])].map(words), e.matches("select, input, textarea") ? "" : words(e), e.title]
    .some((text) => text && text.trim());
  const about = (e) => `<${e.tagName.toLowerCase()} class="${e.getAttribute("class") || ""}"> `
    + words(e).trim().slice(0, 30);
  for (const e of document.querySelectorAll("a[href], button, input, select, textarea, summary, iframe, img, canvas, "
    + "svg, dialog, [role=grid], [role=tabpanel], [role=region], [role=menu], [tabindex='0']"))
    if (shown(e) && !e.matches("canvas.field") && !named(e)) faults.add(`has no name: ${about(e)}`);
  const ids = [...document.querySelectorAll("[id]")].map((e) => e.id);
  ids.filter((id, i) => ids.indexOf(id) !== i).forEach((id) => faults.add(`the id ${id} is given twice`));

  const colour = (text) => {
    const n = text.match(/[\d.]+(e-?\d+)?/g).map(Number);
    const unit = text.startsWith("color(") ? 255 : 1;
    return { rgb: n.slice(0, 3).map((c) => c * unit), alpha: n[3] ?? 1 };
  };
  const over = (top, bottom, alpha) => top.map((c, i) => c * alpha + bottom[i] * (1 - alpha));
  const behind = (e) => {
    if (!e) return [255, 255, 255];
    const { rgb, alpha } = colour(getComputedStyle(e).backgroundColor);
    return alpha === 1 ? rgb : over(rgb, behind(e.parentElement), alpha);
  };
  const faded = (e) => (e ? Number(getComputedStyle(e).opacity) * faded(e.parentElement) : 1);
  const light = (rgb) => {
    const [r, g, b] = rgb.map((c) => (c / 255 <= 0.03928 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const top = document.querySelector("dialog[open]") || document.body;
  const walk = document.createTreeWalker(top, NodeFilter.SHOW_TEXT);
  for (let node; (node = walk.nextNode());) {
    const e = node.parentElement;
    if (!node.data.trim() || !shown(e) || e.closest(":disabled, option, script, noscript, .skip, .hidden")
      || e.querySelector(":scope > input:disabled")) continue;
    const style = getComputedStyle(e), back = behind(e);
    const { rgb, alpha } = colour(e.closest("svg") ? style.fill : style.color);
    const [a, b] = [light(over(rgb, back, alpha * faded(e))), light(back)].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05), size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && style.fontWeight >= 700);
    if (ratio < (large ? 3 : 4.5)) faults.add(`stands out by only ${ratio.toFixed(2)}: ${about(e)}`);
  }
  return [...faults].join("\n");
})()]]
