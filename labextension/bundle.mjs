/** Bundles the dashboard into the package: one ESM file and one style sheet, without what uPlot has and the dashboard never calls. */

import { readFile } from "node:fs/promises";
import { build } from "esbuild";

const EXTRAS = /\nuPlot\.assign = assign;\n[^]*\nexport \{ uPlot as default \};\n$/;
const NEEDED = "\nuPlot.paths = { linear, points };\nexport { uPlot as default };\n";

/** uPlot hangs bars, splines, dates and more on one object, so that no bundler can leave them out: a fifteenth of the bundle. */
const linesOnly = {
  name: "lines-only",
  setup({ onLoad }) {
    onLoad({ filter: /uPlot\.esm\.js$/ }, async ({ path }) => {
      const whole = await readFile(path, "utf8");
      if (!EXTRAS.test(whole)) throw new Error(`${path} does not end as it did; look at what the dashboard needs of it.`);
      return { contents: whole.replace(EXTRAS, NEEDED), loader: "js" };
    });
  },
};

await build({
  entryPoints: { dashboard: "src/widget.ts" },
  outdir: process.argv[2] ?? "../bigmodel_lab/static",
  bundle: true,
  minify: true,
  format: "esm",
  target: "es2022",
  legalComments: "inline",
  logLevel: "info",
  plugins: [linesOnly],
});
