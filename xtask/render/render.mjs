// Draws dashboards: `node render.mjs '{"dashboards": [...], "recorded": DIR, "out": DIR, "work": DIR, "chromium": PATH, "open": false}'`.
// `cargo xtask render-dashboards` calls it, with the packages of package-lock.json installed in `work`.
import { execFile } from 'node:child_process';
import { readFile, mkdir, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import path from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { promisify } from 'node:util';

import { WIDTH, placed } from './src/layout.js';

const options = JSON.parse(process.argv[2]);
const here = path.dirname(fileURLToPath(import.meta.url));
const work = path.resolve(options.work);
const { build } = createRequire(path.join(work, 'package.json'))('esbuild');

/** Milliseconds of the page's own clock, which headless Chromium runs as fast as it can. */
const SETTLE_MS = 6000;

async function bundle() {
  await build({
    entryPoints: [path.join(here, 'src/page.jsx')],
    outfile: path.join(work, 'page.js'),
    bundle: true,
    format: 'iife',
    jsx: 'automatic',
    minify: true,
    nodePaths: [path.join(work, 'node_modules')],
    define: { 'process.env.NODE_ENV': '"production"', 'process.env': '{}', global: 'window' },
    loader: { '.svg': 'text', '.woff2': 'dataurl', '.woff': 'empty', '.ttf': 'empty' },
    logLevel: 'error',
  });
}

/** JSON that cannot end the script it stands in. */
const inScript = (value) => JSON.stringify(value).replaceAll('<', '\\u003c');

async function picture(file) {
  const dashboard = JSON.parse(await readFile(file, 'utf8'));
  const recording = JSON.parse(await readFile(path.join(options.recorded, path.basename(file)), 'utf8'));
  const name = path.basename(file, '.json');
  const page = path.join(work, `${name}.html`);
  const data = { dashboard, recording, open: options.open };
  const html = `<!doctype html><meta charset="utf-8"><title>${name}</title><link rel="stylesheet" href="page.css">
<body style="margin:0;background:#111217"><div id="root"></div><script>window.PICTURE = ${inScript(data)};</script><script src="page.js"></script>`;
  await writeFile(page, html);
  const out = path.resolve(options.out, `${name}.png`);
  const height = placed(dashboard, options.open).height;
  await promisify(execFile)(options.chromium, [
    '--headless',
    '--no-sandbox',
    '--disable-gpu',
    '--hide-scrollbars',
    '--allow-file-access-from-files',
    '--force-color-profile=srgb',
    `--user-data-dir=${path.join(work, 'profile')}`,
    `--window-size=${WIDTH},${height}`,
    `--virtual-time-budget=${SETTLE_MS}`,
    `--screenshot=${out}`,
    pathToFileURL(page).href,
  ]);
  console.log(out);
}

await mkdir(options.out, { recursive: true });
await bundle();
for (const file of options.dashboards) {
  await picture(file);
}
