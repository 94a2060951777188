import { readdirSync, readFileSync } from "node:fs";
import { join, relative } from "node:path";

/** The repository. */
export const ROOT = join(import.meta.dirname, "../..");

/** One source file of ours. */
export interface Source {
  /** From the root: "services/tags/rules.ts". */
  path: string;
  text: string;
}

/** Every TypeScript file that people wrote, in the order of their paths. */
export function sources(...folders: string[]): Source[] {
  const within = folders.length > 0 ? folders : ["services", "gateway", "test"];
  return within.flatMap((folder) =>
    readdirSync(join(ROOT, folder), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile() && entry.name.endsWith(".ts"))
      .map((entry) => relative(ROOT, join(entry.parentPath, entry.name)))
      .sort()
      .map((path) => ({ path, text: readFileSync(join(ROOT, path), "utf8") })),
  );
}

/** What a file imports, as written. */
export function importsOf({ text }: Source): string[] {
  const from = /^(?:import|export)\s[^"]*?from\s+"([^"]+)"|^import\s+"([^"]+)"|import\("([^"]+)"\)/gm;
  return [...text.matchAll(from)].map((match) => (match[1] ?? match[2] ?? match[3]) as string);
}

/** Tests, and what only tests use: `*.test.ts`, `test-*.ts` beside them, fixtures. */
export function isTest(path: string): boolean {
  return path.endsWith(".test.ts") || /(^|\/)(test-[^/]+\.ts$|fixture\/|test\/)/.test(path);
}
