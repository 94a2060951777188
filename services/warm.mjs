// Loaded before anything else (`node --import`): what was compiled once is kept beside the packages, so that a start neither
// strips types nor compiles again. Half a second and some 20 MB a process. JavaScript, for reading TypeScript is what it saves.
import { enableCompileCache } from "node:module";
import { fileURLToPath } from "node:url";

enableCompileCache(
  process.env.NODE_COMPILE_CACHE ?? fileURLToPath(new URL("../node_modules/.cache/waymark", import.meta.url)),
);
