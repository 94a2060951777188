import { appendFile, mkdtemp, readdir, readFile, rm, stat, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { TouchInputSchema } from "#gen/waymark/scans/v1/intake_pb.ts";
import { type Ticket, TouchQueue } from "./touch-queue.ts";

const KEY = Buffer.alloc(32, 1);
const OWNER = { workspace: "acme", test: false };

let folder: string;
let open: TouchQueue[];
let said: string[];
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "queue-"));
  open = [];
  said = [];
});
afterEach(async () => {
  for (const queue of open) await queue.close();
  await rm(folder, { recursive: true });
});

async function opened(given: { key?: Buffer; maxBytes?: number } = {}): Promise<TouchQueue> {
  const hear = (_facts: unknown, message?: string): void => void said.push(message ?? "");
  const log = { warn: hear, error: hear } as unknown as Parameters<typeof TouchQueue.open>[0]["log"];
  const queue = await TouchQueue.open({ folder, key: KEY, log, ...given });
  open.push(queue);
  return queue;
}

const touchOf = (id: string) =>
  create(TouchInputSchema, {
    id,
    ip: "203.0.113.9",
    userAgent: "phone",
    scannedAt: timestampFromMs(1_700_000_000_000),
  });
const put = (queue: TouchQueue, ...ids: string[]) => Promise.all(ids.map((id) => queue.put(touchOf(id), OWNER)));
const leave = async (queue: TouchQueue, ...ids: string[]) => {
  for (const ticket of await put(queue, ...ids)) ticket?.settle("left");
};
const filesOf = async () => (await readdir(folder)).filter((name) => name.endsWith(".touches"));
const idsOf = async (queue: TouchQueue) => (await queue.next())?.touches.map(({ touch }) => touch.id);
const fileOf = async () => join(folder, (await filesOf())[0] as string);

describe("the queue of touches", () => {
  it("keeps a touch as it was, with whose it is, over a stop", async () => {
    const first = await opened();
    (await first.put(touchOf("a"), { workspace: "acme", test: true }))?.settle("left");
    await first.close();
    const backlog = await (await opened()).next();
    expect(backlog?.touches).toEqual([{ owner: { workspace: "acme", test: true }, touch: touchOf("a") }]);
  });

  it("writes touches of one moment into one frame", async () => {
    const queue = await opened();
    await leave(queue, "a");
    const one = queue.bytes;
    await leave(queue, "b", "c", "d");
    expect((queue.bytes - one) / one).toBeLessThan(3);
    expect(await idsOf(queue)).toEqual(["a", "b", "c", "d"]);
  });

  it("holds nothing that can be read without the key, in files of the owner alone", async () => {
    const queue = await opened();
    await leave(queue, "a");
    const bytes = await readFile(await fileOf(), "latin1");
    expect(bytes).not.toMatch(/203\.0\.113\.9|acme|phone/);
    expect((await stat(await fileOf())).mode & 0o777).toBe(0o600);
  });

  it("gives nothing out that somebody still brings by himself", async () => {
    const queue = await opened();
    const [a, b] = (await put(queue, "a", "b")) as [Ticket, Ticket];
    expect(await idsOf(queue)).toBeUndefined();
    a.settle("taken");
    expect(await idsOf(queue)).toBeUndefined();
    b.settle("left");
    expect(await idsOf(queue)).toEqual(["b"]);
  });

  it("gives its place back when all is taken", async () => {
    const queue = await opened();
    await leave(queue, "a", "b");
    const [c] = (await put(queue, "c")) as [Ticket];
    c.settle("taken");
    const backlog = await queue.next();
    backlog?.forget(["a"]);
    expect([queue.touches, await idsOf(queue)]).toEqual([1, ["b"]]);
    backlog?.forget(["b"]);
    await expect.poll(filesOf).toEqual([]);
    expect([queue.touches, queue.bytes]).toEqual([0, 0]);
  });

  it("uses a file again whose touches were all taken while it was open", async () => {
    const queue = await opened();
    for (const id of ["a", "b", "c"]) {
      const [ticket] = (await put(queue, id)) as [Ticket];
      ticket.settle("taken");
      await expect.poll(() => queue.bytes).toBe(0);
    }
    expect(await filesOf()).toHaveLength(1);
    await leave(queue, "d");
    expect(await idsOf(queue)).toEqual(["d"]);
  });

  it("goes on in a new file after a megabyte, and gives the oldest first", async () => {
    const queue = await opened();
    const text = "x".repeat(300_000);
    for (const id of ["a", "b", "c", "d", "e"])
      (await queue.put(create(TouchInputSchema, { id, userAgent: text }), OWNER))?.settle("left");
    expect(await filesOf()).toHaveLength(2);
    expect(await idsOf(queue)).toEqual(["a", "b", "c", "d"]);
  });

  it("refuses what it has no room for, and takes again when there is some", async () => {
    const queue = await opened({ maxBytes: 400 });
    const tickets = await put(queue, "a", "b", "c", "d", "e", "f", "g", "h");
    const taken = tickets.filter((ticket) => ticket !== undefined);
    expect([taken.length > 0, taken.length < 8]).toEqual([true, true]);
    expect([queue.bytes <= 400, queue.touches]).toEqual([true, taken.length]);
    for (const ticket of taken) ticket.settle("taken");
    await expect.poll(() => queue.bytes).toBe(0);
    expect(await put(queue, "i")).not.toEqual([undefined]);
  });

  it("is one process's alone", async () => {
    await opened();
    await expect(opened()).rejects.toThrow(/in use/);
  });
});

describe("after a crash", () => {
  it.each([1, 9, 60])("leaves away a torn end, here of %i bytes less, and keeps what is before it", async (less) => {
    const first = await opened();
    await leave(first, "a");
    await leave(first, "b");
    await first.close();
    const { size } = await stat(await fileOf());
    await truncate(await fileOf(), size - less);
    const second = await opened();
    expect([await idsOf(second), said]).toEqual([["a"], ["a torn end was left away"]]);
    await leave(second, "c");
    await second.close();
    const third = await opened();
    expect(third.touches).toBe(2);
  });

  it("leaves away what is not a frame", async () => {
    const first = await opened();
    await leave(first, "a");
    await first.close();
    await appendFile(await fileOf(), Buffer.alloc(5_000, 0x5a));
    expect(await idsOf(await opened())).toEqual(["a"]);
    expect(said).toEqual(["a torn end was left away"]);
  });

  it("leaves away a frame of which a bit has changed", async () => {
    const first = await opened();
    await leave(first, "a");
    await leave(first, "b");
    await first.close();
    const bytes = await readFile(await fileOf());
    bytes[bytes.length - 20] = (bytes[bytes.length - 20] as number) ^ 1;
    await writeFile(await fileOf(), bytes);
    expect(await idsOf(await opened())).toEqual(["a"]);
  });

  it("starts with an empty file", async () => {
    await writeFile(join(folder, "00000007.touches"), "");
    const queue = await opened();
    expect([queue.touches, await filesOf()]).toEqual([0, []]);
  });

  it("sets aside what was sealed with another key, and starts all the same", async () => {
    const first = await opened({ key: Buffer.alloc(32, 2) });
    await leave(first, "a");
    await first.close();
    const second = await opened();
    expect([second.touches, said]).toEqual([0, ["touches cannot be read and were set aside"]]);
    expect(await readdir(folder)).toContain("00000001.touches.unreadable");
    await leave(second, "b");
    expect(await idsOf(second)).toEqual(["b"]);
  });
});

it("says so when the disk fails, and goes on when it works again", async () => {
  const queue = await opened();
  await writeFile(join(folder, "00000001.touches"), "somebody else's");
  expect(await put(queue, "a")).toEqual([undefined]);
  expect([queue.bytes, said]).toEqual([0, ["touches could not be written to the disk"]]);
  await leave(queue, "b");
  expect(await idsOf(queue)).toEqual(["b"]);
});
