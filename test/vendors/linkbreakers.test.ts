import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { existsSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { sendScans } from "../e2e/campaign.ts";
import { eventually } from "../e2e/eventually.ts";
import { allOperations } from "../e2e/operations.ts";
import { startWaymark, type Waymark } from "../support/waymark.ts";

const HERE = import.meta.dirname;
const VENV = join(HERE, "../../node_modules/.cache/waymark/linkbreakers");
const PYTHON = join(VENV, "bin/python");

/** Endpoints of the client that are not served, as docs/analytics.md tells them. */
function notServed(): string[] {
  const text = readFileSync(join(HERE, "../../docs/analytics.md"), "utf8");
  const [, section = ""] = text.split("## What the vendor's client can and Waymark cannot");
  const lines = section.split("\n## ")[0]?.split("\n") ?? [];
  // What an item is about stands before its colon; what it names after that is served.
  const items = lines.filter((line) => line.startsWith("- ")).map((line) => line.split("`:")[0] ?? "");
  return items.flatMap((item) => item.match(/(?:GET|POST|PUT|PATCH|DELETE) \/v1\/[^\s`]+/g) ?? []).sort();
}

/** Why the vendor's client cannot be had here; undefined when it can. It is installed once, beside the packages of npm. */
function missing(): string | undefined {
  const requirements = join(HERE, "requirements.txt");
  const install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", requirements];
  try {
    if (!existsSync(PYTHON)) execFileSync("python3", ["-m", "venv", VENV], { stdio: "pipe", timeout: 120_000 });
    execFileSync(PYTHON, install, { stdio: "pipe", timeout: 240_000 });
    return undefined;
  } catch (error) {
    rmSync(VENV, { recursive: true, force: true }); // what is half made would be taken for whole the next time
    const { message, stderr = "" } = error as Error & { stderr?: Buffer | string };
    return `${stderr}`.trim().split("\n").at(-1) || message;
  }
}

const why = missing();
if (why !== undefined)
  process.stdout.write(`the vendor's Python client cannot be installed, so it is not tried: ${why}\n`);

describe.runIf(why === undefined)("the vendor's own client", () => {
  let waymark: Waymark;
  let key: string;
  beforeAll(async () => {
    waymark = await startWaymark();
    ({ key } = await waymark.workspace("Vendor"));
  });
  afterAll(() => waymark.stop());

  it("notices no difference", { timeout: 120_000 }, async () => {
    const child = spawn(PYTHON, [join(HERE, "call_everything.py"), waymark.url, key]);
    const lines = await run(child, async (linkId) => {
      const scan = (id: string, more: object) => ({ id, qpr_code_id: linkId, ...more });
      const both = { country: "DE", city: "Berlin" };
      await sendScans(waymark, key, [
        scan("v1", { device_id: "d1", ...both, scanned_at: new Date(Date.now() - 86_400_000).toISOString() }),
        scan("v2", { device_id: "d2", ...both }),
        scan("v3", { device_id: "d1", scanned_at: new Date(Date.now() - 2 * 86_400_000).toISOString() }),
      ]);
      await eventually(async () => {
        const { body } = await waymark.call("GET", "/analytics/v1/metrics/events", { key });
        expect(body.totalEvents).toBe(3);
      });
    });
    expect(lines.filter((line) => line.startsWith("FAILED"))).toEqual([]);
    expect(lines.filter((line) => line.startsWith("ok")).length).toBeGreaterThan(120);
  });

  it("finds each of its endpoints here, but for those of which the documents say so", () => {
    const listed = execFileSync(PYTHON, [join(HERE, "list_endpoints.py")], { encoding: "utf8" });
    const served = new Set(
      allOperations().map(({ method, path }) => `${method} ${path.replaceAll(/\{[^}]+\}/g, "{}")}`),
    );
    const isServed = (line: string) => served.has(line.replace(" /", " /analytics/").replaceAll(/\{[^}]+\}/g, "{}"));
    const endpoints = listed.trim().split("\n");
    expect(endpoints.length).toBeGreaterThan(40);
    expect(endpoints.filter((line) => !isServed(line)).sort()).toEqual(notServed());
  });
});

/** Runs the client to its end; its lines. `record` is called with the link that it has made. */
async function run(child: ChildProcess, record: (linkId: string) => Promise<void>): Promise<string[]> {
  const lines: string[] = [];
  let errors = "";
  child.stderr?.on("data", (chunk) => {
    errors += chunk;
  });
  const ended = new Promise((resolve) => child.once("exit", resolve));
  for await (const line of createInterface({ input: child.stdout as NodeJS.ReadableStream })) {
    lines.push(line);
    if (!line.startsWith("link ")) continue;
    await record(line.slice(5));
    child.stdin?.end("\n");
  }
  await ended;
  return errors === "" ? lines : [...lines, `FAILED with: ${errors.slice(-800)}`];
}
