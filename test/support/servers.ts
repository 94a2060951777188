import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";

/**
 * Path of a program that tests need and that npm does not bring: "nats-server", "bin/grpcurl", "mongodb-protocol/start".
 * Looked for in the folder that WAYMARK_TEST_SERVERS names, then by its last name on PATH; undefined where there is none.
 */
export function serverProgram(name: string): string | undefined {
  const folder = process.env.WAYMARK_TEST_SERVERS;
  const own = folder === undefined || folder === "" ? [] : [join(folder, name)];
  const last = name.slice(name.lastIndexOf("/") + 1);
  const onPath = (process.env.PATH ?? "").split(delimiter).map((place) => join(place, last));
  return [...own, ...onPath].find(isProgram);
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** Says once on the terminal why tests of this kind do not run here, and gives the value for `describe.skipIf`. */
export function isMissing(name: string, path: string | undefined): boolean {
  if (path !== undefined) return false;
  process.stderr.write(
    `skipped: these tests need ${name}; put it on PATH or name its folder in WAYMARK_TEST_SERVERS\n`,
  );
  return true;
}
