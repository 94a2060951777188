import { spawn } from "node:child_process";
import { randomInt } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import { openLogger } from "#runtime/logger.ts";
import { TouchQueue } from "./touch-queue.ts";

const SCRIPT = join(import.meta.dirname, "../../test/support/record-until-killed.ts");

/** Runs the script until it has sent so many on, and kills it: the lines that it has written. */
async function runUntilKilled(given: { folder: string; prefix: string; count: number }): Promise<string[]> {
  const child = spawn(process.execPath, [SCRIPT, given.folder, given.prefix], { stdio: ["ignore", "pipe", "inherit"] });
  let text = "";
  for await (const chunk of child.stdout.setEncoding("utf8")) {
    text += chunk;
    if (text.split("sent on").length > given.count) child.kill("SIGKILL");
  }
  return text.split("\n").slice(0, -1);
}

/** All that waits in the folder. */
async function waitingIn(folder: string): Promise<string[]> {
  const queue = await TouchQueue.open({ folder, key: Buffer.alloc(32, 1), log: openLogger("silent") });
  const ids: string[] = [];
  for (let backlog = await queue.next(); backlog !== undefined; backlog = await queue.next()) {
    const found = backlog.touches.map(({ touch }) => touch.id);
    ids.push(...found);
    backlog.forget(found);
  }
  await queue.close();
  return ids;
}

const endings = (lines: readonly string[], start: string) =>
  lines.filter((line) => line.startsWith(start)).map((line) => line.slice(start.length));

it("a process that is killed at any moment leaves every touch with intake or on the disk", {
  timeout: 120_000,
}, async () => {
  const folder = await mkdtemp(join(tmpdir(), "killed-"));
  for (let round = 0; round < 5; round += 1) {
    const lines = await runUntilKilled({ folder, prefix: `r${round}`, count: randomInt(50, 600) });
    const sentOn = endings(lines, "sent on ");
    const taken = new Set(endings(lines, "taken "));
    const waiting = await waitingIn(folder);
    expect(sentOn.length).toBeGreaterThanOrEqual(50);
    expect(new Set(waiting).size).toBe(waiting.length);
    const known = new Set([...taken, ...waiting]);
    expect(sentOn.filter((id) => !known.has(id))).toEqual([]);
  }
  await rm(folder, { recursive: true });
});
