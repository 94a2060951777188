import { Code, ConnectError } from "@connectrpc/connect";
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import { SYSTEM_WORKSPACE } from "#runtime/context.ts";
import { shortIdModel } from "./model.ts";
import { freeShortId } from "./short-ids.ts";
import { type Bench, openBench } from "./test-bench.ts";

let bench: Bench;
let me: ReturnType<Bench["caller"]>;
let turn = 0;

beforeAll(async () => {
  bench = await openBench();
});
afterAll(() => bench.close());
beforeEach(() => {
  me = bench.caller(`workspace-${turn++}`);
});

const destination = "https://example.com";
const make = async (more: object = {}, by = me) => {
  const { link } = await bench.links.createLink({ destination, ...more }, by);
  if (link === undefined) throw new Error("no link");
  return link;
};
const isAvailable = async (shortlink: string, by = me) =>
  (await bench.links.checkShortlink({ shortlink }, by)).available;

describe("a shortlink", () => {
  it("is available until somebody has it, in any workspace, and not again when that link is deleted", async () => {
    const shortlink = `menu-${turn}`;
    const stranger = bench.caller(`${turn}-other`, { test: true });
    expect([await isAvailable(shortlink), await isAvailable(shortlink, stranger)]).toEqual([true, true]);
    const { id } = await make({ shortlink });
    expect([await isAvailable(shortlink), await isAvailable(shortlink, stranger)]).toEqual([false, false]);
    expect(await isAvailable(shortlink.toUpperCase())).toBe(true);
    await bench.links.deleteLink({ id }, me);
    expect(await isAvailable(shortlink)).toBe(false);
  });

  it.each(["", "a", "a b", "-ab", "x".repeat(65)])(
    "that cannot be, as %j, is refused by its name",
    async (shortlink) => {
      const error = await bench.links.checkShortlink({ shortlink }, me).catch((cause: unknown) => cause);
      expect(error).toMatchObject({ code: Code.InvalidArgument, rawMessage: expect.stringMatching(/^shortlink /) });
    },
  );

  it("by chance is free, differs each time, and can be had", async () => {
    const suggested = new Set<string>();
    for (let n = 0; n < 20; n += 1) suggested.add((await bench.links.suggestShortlink({}, me)).shortlink);
    expect(suggested.size).toBe(20);
    for (const shortlink of suggested) {
      expect(await isAvailable(shortlink)).toBe(true);
      expect((await make({ shortlink })).shortlink).toBe(shortlink);
    }
  });
});

it("a short id by chance is one that nobody has; it gives up when all that it thinks of are taken", async () => {
  const directory = bench.store.collection(shortIdModel).of(SYSTEM_WORKSPACE);
  const taken = { id: "x", workspaceId: "w", codeId: "c", claimedAt: 0 };
  const find = vi.spyOn(directory, "get");
  const store = { ...bench.store, collection: () => ({ of: () => directory }) } as unknown as Bench["store"];
  find.mockResolvedValueOnce(taken).mockResolvedValueOnce(taken);
  expect(await freeShortId({ store })).toMatch(/^[a-z2-9]{6}$/);
  expect(find).toHaveBeenCalledTimes(3);
  find.mockResolvedValue(taken);
  const error = await freeShortId({ store }).catch((cause: unknown) => cause);
  expect(error instanceof ConnectError && error.code).toBe(Code.Unavailable);
});

describe("pictures of many links", () => {
  it("are those that each link names", async () => {
    const links = [await make(), await make(), await make()];
    const linkIds = links.map(({ id }) => id);
    const { qrcodeSignedUrls } = await bench.links.resolveLinkPictures(
      { linkIds: [...linkIds, linkIds[0] as string] },
      me,
    );
    expect(qrcodeSignedUrls).toEqual(Object.fromEntries(links.map((link) => [link.id, link.qrcodeSignedUrl])));
  });

  it("leave out links that the caller cannot see, and deleted ones", async () => {
    const [mine, gone] = [await make(), await make()];
    await bench.links.deleteLink({ id: gone.id }, me);
    const theirs = await make({}, bench.caller(`${turn}-other`));
    const tested = await make({}, bench.caller(`workspace-${turn - 1}`, { test: true }));
    const linkIds = [gone.id, mine.id, theirs.id, tested.id, "nobody"];
    const { qrcodeSignedUrls } = await bench.links.resolveLinkPictures({ linkIds }, me);
    expect(Object.keys(qrcodeSignedUrls)).toEqual([mine.id]);
    expect((await bench.links.resolveLinkPictures({ linkIds: [] }, me)).qrcodeSignedUrls).toEqual({});
  });

  it("are at most a thousand", async () => {
    const linkIds = Array.from({ length: 1001 }, (_, n) => `link-${n}`);
    const error = await bench.links.resolveLinkPictures({ linkIds }, me).catch((cause: unknown) => cause);
    expect(error).toMatchObject({ code: Code.InvalidArgument, rawMessage: expect.stringMatching(/^link_ids /) });
  });
});
