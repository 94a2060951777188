import { writeFileSync } from "node:fs";
import { join } from "node:path";
import "../../gateway/metrics.ts";
import { documents } from "./documents.ts";
import { ROOT } from "./source.ts";

for (const [path, text] of Object.entries(await documents())) {
  writeFileSync(join(ROOT, path), text);
  process.stdout.write(`${path}\n`);
}
