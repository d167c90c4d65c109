// Where panels stand: Grafana's grid of 24 columns. Pure, since the page's height is asked before there is a page.

export const WIDTH = 1440;
const COLUMNS = 24;
const ROW = 30;
const GAP = 8;
const PADDING = 16;
export const HEAD = 56;

/** Panels and headings in pixels, and the height of all; with `open`, what is behind closed headings, too. */
export function placed(dashboard, open) {
  const items = [];
  let pushed = 0;
  const bottom = (panels) => Math.max(0, ...panels.map((panel) => panel.gridPos.y + panel.gridPos.h));
  const sorted = [...dashboard.panels].sort((a, b) => a.gridPos.y - b.gridPos.y || a.gridPos.x - b.gridPos.x);
  for (const panel of sorted) {
    const y = panel.gridPos.y + pushed;
    items.push({ panel, ...box({ ...panel.gridPos, y }), open: open || !panel.collapsed });
    if (panel.type === 'row' && panel.collapsed && open) {
      const first = Math.min(...panel.panels.map((inner) => inner.gridPos.y));
      for (const inner of panel.panels) {
        items.push({ panel: inner, ...box({ ...inner.gridPos, y: y + 1 + inner.gridPos.y - first }), open: true });
      }
      pushed += bottom(panel.panels) - first;
    }
  }
  const height = HEAD + PADDING + Math.max(...items.map((item) => item.top + item.height));
  return { items, height };
}

function box({ x, y, w, h }) {
  const column = (WIDTH - 2 * PADDING - (COLUMNS - 1) * GAP) / COLUMNS;
  return {
    left: PADDING + x * (column + GAP),
    top: y * (ROW + GAP),
    width: w * column + (w - 1) * GAP,
    height: h * ROW + (h - 1) * GAP,
  };
}
