import { type ChildProcess, spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { TALLY_WORKSPACE, tallyModel } from "../../../test/support/counted-words.ts";
import { type MongodbServer, mongodbMissing, startMongodb } from "../../../test/support/mongodb-server.ts";
import { openMongoStore } from "../store.mongo.ts";
import type { Store } from "../store.ts";

const WORDS = 3_000;
/** How long a projection may stay without a holder when its holder dies. */
const TEN_SECONDS = { timeout: 10_000, interval: 20 };
const program = fileURLToPath(new URL("../../../test/support/project-until-killed.ts", import.meta.url));

interface Part {
  child: ChildProcess;
  /** The last that it said. */
  says: () => string;
}

describe.skipIf(await mongodbMissing())("a projection of which two processes have the lease in turn", () => {
  let server: MongodbServer;
  let store: Store;
  let url: string;
  const parts: Part[] = [];
  beforeAll(async () => {
    server = await startMongodb();
    url = server.url(`takeover-${randomUUID()}`);
    store = await openMongoStore({ url, models: [tallyModel] });
  });
  afterAll(async () => {
    for (const { child } of parts) child.kill("SIGKILL");
    await store?.close();
    await server?.stop();
  });

  function start(holder: string): Part {
    const child = spawn(process.execPath, [program, url, holder, `${WORDS}`], { stdio: ["ignore", "pipe", "inherit"] });
    let said = "";
    child.stdout?.on("data", (chunk) => {
      said += chunk;
    });
    const part = { child, says: () => said.trimEnd().split("\n").at(-1) ?? "" };
    parts.push(part);
    return part;
  }

  it("moves within ten seconds when one hangs and when one is killed, and counts nothing twice", async () => {
    const first = start("first");
    await expect.poll(first.says, { timeout: 20_000 }).toBe("holds");
    const second = start("second");
    await expect.poll(second.says, { timeout: 20_000 }).toBe("waits");
    first.child.kill("SIGSTOP");
    await expect.poll(second.says, TEN_SECONDS).toBe("holds");
    first.child.kill("SIGCONT");
    await expect.poll(first.says, TEN_SECONDS).toBe("waits");
    second.child.kill("SIGKILL");
    await expect.poll(first.says, TEN_SECONDS).toBe("holds");
    await expect.poll(() => store.watermark("tally"), { timeout: 90_000, interval: 100 }).toBe(WORDS * 10);
    const docs = await store.collection(tallyModel).of(TALLY_WORKSPACE).find({});
    expect(docs.map(({ count }) => count)).toEqual(Array.from({ length: 10 }, () => WORDS / 10));
  }, 180_000);
});
