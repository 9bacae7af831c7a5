import { defineConfig } from "vite";

// One ES module for the page, an iframe or another program's page: nothing else is loaded.
export default defineConfig({
  build: {
    lib: { entry: "src/index.ts", formats: ["es"], fileName: () => "viewer.js" },
    outDir: "../src/logflume/_viewer",
    emptyOutDir: true,
    target: "es2022",
    minify: true,
  },
});
