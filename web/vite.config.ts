import { defineConfig, type Plugin } from "vite";

interface Node {
  readonly type: string;
  readonly start: number;
  readonly end: number;
}

/** Take the indentation out of the text of `html` and `css` templates: the minifier leaves it. */
const tight: Plugin = {
  name: "tight",
  transform(code, id) {
    if (!id.includes("/web/src/")) return null;
    const texts: Node[] = [];
    collect(this.parse(code) as unknown as Node, texts);
    let made = "";
    let reached = 0;
    for (const { start, end } of texts.sort((one, two) => one.start - two.start)) {
      made += code.slice(reached, start) + tightened(code.slice(start, end));
      reached = end;
    }
    return { code: made + code.slice(reached), map: null };
  },
};

/** What is not ours comes with its licence, in a file beside the modules: the last one that is made. */
const licences: Plugin = {
  name: "licences",
  async generateBundle() {
    const source = await this.fs.readFile("node_modules/lit-html/LICENSE", { encoding: "utf8" });
    this.emitFile({ type: "asset", fileName: "LICENSE-lit.txt", source });
  },
};

function tightened(text: string): string {
  const tight = text.replace(/\s*\n\s*/g, "\n").replace(/([{;,}>])\n/g, "$1");
  const isStyle = /[;{}]/.test(tight) && !/<\/?\w/.test(tight);
  return isStyle
    ? tight
        .replace(/([:,]) /g, "$1")
        .replace(/ \{/g, "{")
        .replace(/;\}/g, "}")
    : tight;
}

function collect(node: Node, texts: Node[]): void {
  if (node.type === "TemplateElement") texts.push(node);
  for (const value of Object.values(node)) {
    for (const child of Array.isArray(value) ? value : [value]) {
      if (typeof child?.type === "string") collect(child as Node, texts);
    }
  }
}

// An ES module for each element, of which the page, an iframe or another program's page needs one; what is seldom looked
// at is in a module of its own, which the viewer loads when it is wanted. `--mode list` builds the list. A module is
// named by its content: browsers keep it for good.
export default defineConfig(({ mode }) => ({
  plugins: mode === "list" ? [tight, licences] : [tight],
  build: {
    lib: {
      entry: mode === "list" ? "src/list.ts" : "src/index.ts",
      formats: ["es"],
      fileName: () => (mode === "list" ? "list-[hash:16].js" : "viewer-[hash:16].js"),
    },
    outDir: "../src/logflume/_viewer",
    emptyOutDir: !(mode === "list"),
    target: "es2022",
    // Vite keeps the white space of a library: here nobody bundles it again.
    minify: false,
    rolldownOptions: {
      // What both need stays in the first one, so that there is one request before the first rows.
      preserveEntrySignatures: "allow-extension",
      output: {
        minify: true,
        comments: { legal: false },
        hashCharacters: "hex",
        chunkFileNames: "[name]-[hash:16].js",
      },
    },
  },
}));
