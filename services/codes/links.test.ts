import { fromJson, type JsonValue, toJson } from "@bufbuild/protobuf";
import { ListValueSchema, ValueSchema } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError } from "@connectrpc/connect";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { LinkSchema, LinkSortField, SortDirection } from "#gen/waymark/codes/v1/links_pb.ts";
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

const value = (json: JsonValue) => fromJson(ValueSchema, json);

async function make(more: object = {}) {
  const { link } = await bench.links.createLink({ destination: "https://example.com/menu", ...more }, me);
  if (link === undefined) throw new Error("no link");
  return link;
}

async function refusal(promise: Promise<unknown>): Promise<string> {
  const error = await promise.then(
    () => new Error("accepted"),
    (cause: unknown) => cause,
  );
  return error instanceof ConnectError ? `${Code[error.code]}: ${error.rawMessage}` : String(error);
}

describe("CreateLink", () => {
  it("answers with the whole link and no workflow steps", async () => {
    const shortlink = `menu-${turn}`;
    const request = { destination: "https://example.com/menu", shortlink, tags: ["spring"], metadata: { team: "a" } };
    const { link, workflowSteps } = await bench.links.createLink({ ...request, conversionTracking: true }, me);
    expect(workflowSteps).toEqual([]);
    const at = "2026-03-20T12:00:00Z";
    expect(link && toJson(LinkSchema, link, { alwaysEmitImplicit: true })).toEqual({
      id: expect.stringMatching(/^qpr_/),
      name: "example.com/menu",
      shortlink,
      entrypoint: `https://qr.example.com/s/${shortlink}`,
      destination: "https://example.com/menu",
      metadata: { team: "a" },
      tags: [{ id: expect.stringMatching(/^tag_[0-9a-f]{24}$/), name: "spring", createdAt: at, updatedAt: at }],
      eventCount: "0",
      qrcodeSignedUrl: `https://qr.example.com/qr/${shortlink}.png`,
      workspaceId: `workspace-${turn - 1}`,
      conversionTracking: true,
      createdAt: at,
      updatedAt: at,
    });
  });

  it("makes a code: both APIs show it", async () => {
    const { id, shortlink } = await make({ name: "Menu" });
    const { code } = await bench.codes.getCode({ id }, me);
    expect(code).toMatchObject({
      name: "Menu",
      shortId: shortlink,
      destination: "https://example.com/menu",
      prompt: "",
    });
  });

  it("shows a code of the Scans API, with its metadata as texts", async () => {
    const metadata = { floor: 3, text: "x", deep: { a: [1] } };
    const { code } = await bench.codes.createCode({ name: "n", prompt: "p", metadata }, me);
    const { link } = await bench.links.getLink({ id: code?.id }, me);
    expect(link).toMatchObject({ destination: "", metadata: { floor: "3", text: "x", deep: '{"a":[1]}' } });
  });

  it.each<[string, object, RegExp]>([
    ["no destination", { destination: "" }, /^InvalidArgument: destination /],
    ["a wrong destination", { destination: "example.com" }, /^InvalidArgument: destination must be an http/],
    ["a wrong shortlink", { shortlink: "a b" }, /^InvalidArgument: shortlink /],
    ["too much metadata", { metadata: { a: "x".repeat(17_000) } }, /^InvalidArgument: metadata must be at most 16384/],
  ])("refuses %s", async (_case, wrong, message) => {
    expect(await refusal(make(wrong))).toMatch(message);
  });

  it("takes an empty shortlink as none", async () => {
    expect((await make({ shortlink: "", id: "" })).shortlink).toHaveLength(6);
  });
});

/** Both take the same links; a fault is named from the list, which is the whole body of a batch. */
describe.each(["createBulkLinks", "createLinkBatch"] as const)("%s", (rpc) => {
  const destination = "https://example.com";

  it("makes a thousand in the order given", async () => {
    const links = Array.from({ length: 1000 }, (_, i) => ({ destination, name: `Link ${i}`, tags: [`t${i % 3}`] }));
    const made = await bench.links[rpc]({ links }, me);
    expect(made.links.map(({ name }) => name)).toEqual(links.map(({ name }) => name));
    expect(new Set(made.links.map(({ shortlink }) => shortlink)).size).toBe(1000);
    expect((await bench.links.listLinks({}, me)).totalCount).toBe(1000n);
  });

  it.each<[string, (taken: string) => object[], RegExp]>([
    ["a taken shortlink", (taken) => [{}, { shortlink: taken }], /^AlreadyExists: links\[1\]\.shortlink is taken/],
    [
      "one wanted twice",
      () => [{ shortlink: "twice" }, {}, { shortlink: "twice" }],
      /^AlreadyExists: links\[2\]\.shortlink/,
    ],
    ["an id wanted twice", () => [{ id: "x" }, { id: "x" }], /^AlreadyExists: links\[1\]\.id is taken/],
    ["a wrong destination", () => [{}, { destination: "x" }], /^InvalidArgument: links\[1\]\.destination /],
  ])("makes none when there is %s", async (_case, items, message) => {
    const { shortlink } = await make();
    const links = items(shortlink).map((item) => ({ destination, ...item }));
    expect(await refusal(bench.links[rpc]({ links }, me))).toMatch(message);
    expect((await bench.links.listLinks({}, me)).totalCount).toBe(1n);
  });

  it("frees the shortlinks of a refused batch", async () => {
    const links = [
      { destination, shortlink: `mine-${turn}` },
      { destination, shortlink: (await make()).shortlink },
    ];
    expect(await refusal(bench.links[rpc]({ links }, me))).toMatch(/^AlreadyExists/);
    expect((await make({ shortlink: `mine-${turn}` })).shortlink).toBe(`mine-${turn}`);
  });
});

describe("ListLinks", () => {
  async function makeNine() {
    const links = [];
    for (let i = 0; i < 9; i++) {
      if (i % 3 === 0) bench.clock.now += 1000; // three at a time, so that times are the same
      links.push(await make({ name: `Link ${(i * 4) % 9}`, tags: [["red", "green", "blue"][i % 3]] }));
    }
    return links;
  }

  async function walk(query: object, pageSize = 2): Promise<string[]> {
    const seen: string[] = [];
    let pageToken = "";
    do {
      const page = await bench.links.listLinks({ ...query, pageSize, pageToken }, me);
      expect(page.links.length).toBeLessThanOrEqual(pageSize);
      seen.push(...page.links.map(({ id }) => id));
      pageToken = page.nextPageToken;
    } while (pageToken !== "");
    return seen;
  }

  it.each([
    ["by change, newest first, by default", {}],
    ["by change, oldest first", { sortDirection: SortDirection.ASC }],
    ["by age", { sortBy: LinkSortField.CREATED_AT }],
    ["by name", { sortBy: LinkSortField.NAME, sortDirection: SortDirection.ASC }],
    ["by shortlink", { sortBy: LinkSortField.SHORTLINK }],
    ["by scans", { sortBy: LinkSortField.EVENT_COUNT }],
    ["with a search", { search: "link" }],
    ["with two tags", { tags: ["red", "green", "blue"] }],
  ])("walks over all links once, %s", async (_case, query) => {
    const links = await makeNine();
    const seen = await walk(query);
    expect([...seen].sort()).toEqual(links.map(({ id }) => id).sort());
    expect(await walk(query, 200)).toEqual(seen);
  });

  it("sorts", async () => {
    const links = await makeNine();
    for (const [i, { id }] of links.entries()) bench.counts.set(id, BigInt((i * 2) % 9));
    const read = async (query: object) => (await bench.links.listLinks({ ...query, pageSize: 9 }, me)).links;
    const byCount = await read({ sortBy: LinkSortField.EVENT_COUNT });
    expect(byCount.map(({ eventCount }) => eventCount)).toEqual([8n, 7n, 6n, 5n, 4n, 3n, 2n, 1n, 0n]);
    const byName = await read({ sortBy: LinkSortField.NAME, sortDirection: SortDirection.ASC });
    expect(byName.map(({ name }) => name)).toEqual(Array.from({ length: 9 }, (_, i) => `Link ${i}`));
    bench.clock.now += 1000;
    await bench.links.updateLink({ id: links[4]?.id, name: "Changed" }, me);
    expect((await read({}))[0]?.id).toBe(links[4]?.id);
  });

  it("shows no link twice when others are made meanwhile", async () => {
    await makeNine();
    const first = await bench.links.listLinks({ sortBy: LinkSortField.CREATED_AT, pageSize: 4 }, me);
    bench.clock.now += 1000;
    await make();
    const query = { sortBy: LinkSortField.CREATED_AT, pageSize: 9, pageToken: first.nextPageToken };
    const second = await bench.links.listLinks(query, me);
    expect(second.links).toHaveLength(5);
    const ids = [...first.links, ...second.links].map(({ id }) => id);
    expect(new Set(ids).size).toBe(9);
  });

  it("filters by any of the tags and by text, and counts what is left", async () => {
    await makeNine();
    const count = async (query: object) => (await bench.links.listLinks(query, me)).totalCount;
    expect(await count({ tags: ["red"] })).toBe(3n);
    expect(await count({ tags: ["red", "blue"] })).toBe(6n);
    expect(await count({ search: "LINK 7" })).toBe(1n);
    expect(await count({ search: "nothing" })).toBe(0n);
  });

  it.each(["x", "e30", Buffer.from('{"by":1,"descending":true,"from":"a","skip":0}').toString("base64url")])(
    "refuses the token %s",
    async (pageToken) => {
      const asked = bench.links.listLinks({ pageToken, sortBy: LinkSortField.CREATED_AT }, me);
      expect(await refusal(asked)).toBe("InvalidArgument: page_token must be a token that a list in this order gave");
    },
  );

  it("refuses the token of another order", async () => {
    await makeNine();
    const { nextPageToken } = await bench.links.listLinks({ pageSize: 2 }, me);
    const asked = bench.links.listLinks({ pageToken: nextPageToken, sortBy: LinkSortField.NAME }, me);
    expect(await refusal(asked)).toMatch(/^InvalidArgument: page_token/);
  });
});

describe("UpdateLink", () => {
  it("changes what is given and leaves the rest", async () => {
    const { id, shortlink } = await make({ tags: ["a"], metadata: { x: "1" }, conversionTracking: true });
    const request = {
      id,
      destination: "https://new.example",
      metadata: { y: "2" },
      tags: fromJson(ListValueSchema, ["b"]),
    };
    const { link } = await bench.links.updateLink(request, me);
    expect(link).toMatchObject({ destination: "https://new.example", shortlink, metadata: { y: "2" } });
    expect(link?.conversionTracking).toBe(true);
    expect(link?.tags.map(({ name }) => name)).toEqual(["b"]);
    const cleared = await bench.links.updateLink({ id, tagsDelete: true, conversionTracking: false }, me);
    expect([cleared.link?.tags, cleared.link?.conversionTracking]).toEqual([[], false]);
  });

  it("sets routing", async () => {
    const { id } = await make();
    const routing = value({ rules: [{ when: { scansBelow: "7" }, destination: "https://early.example" }] });
    const { link } = await bench.links.updateLink({ id, routing }, me);
    expect(link?.routing?.rules[0]?.when?.scansBelow).toBe(7n);
  });

  it("refuses metadata that is no text", async () => {
    const { id } = await make();
    expect(await refusal(bench.links.updateLink({ id, metadata: { a: 1 } }, me))).toMatch(/metadata\.a must be a text/);
  });

  it("knows only links that are there", async () => {
    const { id } = await make();
    await bench.links.deleteLink({ id }, me);
    const gone = `NotFound: link ${id} does not exist`;
    expect(await refusal(bench.links.getLink({ id }, me))).toBe(gone);
    expect(await refusal(bench.links.updateLink({ id, name: "x" }, me))).toBe(gone);
    expect(await refusal(bench.links.deleteLink({ id }, me))).toBe(gone);
  });
});
