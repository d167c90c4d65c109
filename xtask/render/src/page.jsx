// One dashboard as a page: `window.PICTURE` has the dashboard, the recording and whether closed headings are opened.
import '@fontsource/inter/latin-400.css';
import '@fontsource/inter/latin-500.css';
import { EventBusSrv, ThemeContext } from '@grafana/data';
import { initPluginTranslations } from '@grafana/i18n';
import { GlobalStyles, PanelChrome, PanelContextProvider, PortalContainer } from '@grafana/ui';
import { createRoot } from 'react-dom/client';

import { framesOf } from './frames.js';
import { prepared, setUp, theme } from './grafana.js';
import { HEAD, WIDTH, placed } from './layout.js';
import { Inside } from './panels.jsx';

const { dashboard, recording, open } = window.PICTURE;

/** Moments of the annotations that a person sees. */
function marksOf() {
  const shown = dashboard.annotations.list.filter((mark) => mark.expr && !mark.hide);
  return shown.flatMap((mark) => {
    const series = recording.range[mark.expr] ?? [];
    return series.flatMap(({ values }) =>
      values.flatMap((value, at) =>
        // Where it begins: while it lasts, Grafana draws one region.
        value && !values[at - 1] ? [{ time: (recording.head.from + at * recording.head.step) * 1000, color: mark.iconColor }] : []
      )
    );
  });
}

function Head() {
  const variables = dashboard.templating.list.filter((variable) => !variable.hide);
  const value = (variable) => {
    if (variable.type === 'datasource') {
      return 'Prometheus';
    }
    return variable.name === 'name' ? recording.head.name : 'All';
  };
  const pill = { border: `1px solid ${theme.colors.border.medium}`, borderRadius: 2, padding: '4px 8px', marginLeft: 8 };
  return (
    <div style={{ height: HEAD, padding: '0 16px', display: 'flex', alignItems: 'center', justifyContent: 'space-between' }}>
      <span style={{ fontSize: 18, fontWeight: 500 }}>{dashboard.title}</span>
      <span style={{ fontSize: 12 }}>
        {variables.map((variable) => (
          <span key={variable.name} style={pill}>
            <span style={{ color: theme.colors.text.secondary }}>{variable.label}</span> {value(variable)}
          </span>
        ))}
      </span>
    </div>
  );
}

function Heading({ panel, open }) {
  const inside = panel.panels?.length ?? 0;
  return (
    <span style={{ fontSize: 16, fontWeight: 500, lineHeight: '30px' }}>
      <span style={{ display: 'inline-block', width: 18, color: theme.colors.text.secondary }}>{open ? '⌄' : '›'}</span>
      {panel.title}
      {!open && <span style={{ fontSize: 12, fontWeight: 400, color: theme.colors.text.secondary }}> ({inside} panels)</span>}
    </span>
  );
}

function Picture({ items, height, frames, marks }) {
  return (
    <div style={{ position: 'relative', width: WIDTH, height, background: theme.colors.background.canvas, overflow: 'hidden' }}>
      <Head />
      {items.map(({ panel, left, top, width, height, open }) => (
        <div key={panel.id} style={{ position: 'absolute', left, top: top + HEAD, width, height }}>
          {panel.type === 'row' ? (
            <Heading panel={panel} open={open} />
          ) : (
            <PanelChrome title={panel.title} width={width} height={height}>
              {(innerWidth, innerHeight) => (
                <Inside
                  {...{ panel, recording, marks }}
                  frames={frames.get(panel.id)}
                  width={innerWidth}
                  height={innerHeight}
                />
              )}
            </PanelChrome>
          )}
        </div>
      ))}
    </div>
  );
}

async function draw() {
  setUp();
  await initPluginTranslations('grafana-ui');
  // Text is measured before it is drawn: not by another font.
  await Promise.all([400, 500].map((weight) => document.fonts.load(`${weight} 16px Inter`)));
  const { items, height } = placed(dashboard, open);
  const frames = new Map();
  for (const { panel } of items.filter((item) => item.panel.type !== 'row')) {
    frames.set(panel.id, await prepared(panel, framesOf(panel, recording)));
  }
  const bus = new EventBusSrv();
  createRoot(document.getElementById('root')).render(
    <ThemeContext.Provider value={theme}>
      <PanelContextProvider value={{ eventsScope: 'global', eventBus: bus }}>
        <GlobalStyles />
        <PortalContainer />
        <Picture {...{ items, height, frames, marks: marksOf() }} />
      </PanelContextProvider>
    </ThemeContext.Provider>
  );
}

draw().catch((error) => {
  document.body.textContent = `failed to draw ${dashboard.title}: ${error.stack}`;
});
