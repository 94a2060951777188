import { fromJson } from "@bufbuild/protobuf";
import { ListValueSchema } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError } from "@connectrpc/connect";
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import type { Doc, Model } from "#runtime/model.ts";
import type { Collection } from "#runtime/store.ts";
import { type CodeDoc, codeModel, codeTagModel } from "./model.ts";
import { tagId } from "./rules.ts";
import { type Bench, openBench } from "./test-bench.ts";

let bench: Bench;
let me: ReturnType<Bench["caller"]>;
let workspace: string;
let turn = 0;

beforeAll(async () => {
  bench = await openBench();
});
afterAll(() => bench.close());
beforeEach(() => {
  workspace = `workspace-${turn++}`;
  me = bench.caller(workspace);
});

async function make(tags: readonly string[], by = me) {
  const { link } = await bench.links.createLink({ destination: "https://example.com/menu", tags: [...tags] }, by);
  if (link === undefined) throw new Error("no link");
  return link;
}

const tagsOf = async (id: string) => (await bench.links.getLink({ id }, me)).link?.tags.map(({ name }) => name);
const names = async (by = me) => (await bench.links.listLinkTags({}, by)).tags.map(({ name }) => name);
const changedSince = async (count: number) => (await bench.changes()).slice(count).map(({ objectId }) => objectId);

async function refusal(promise: Promise<unknown>): Promise<string> {
  const error = await promise.then(
    () => new Error("accepted"),
    (cause: unknown) => cause,
  );
  return error instanceof ConnectError ? `${Code[error.code]}: ${error.rawMessage}` : String(error);
}

it("lists tags by name, page by page", async () => {
  await make(["delta", "alpha", "charlie"]);
  await make(["bravo", "alpha"]);
  const first = await bench.links.listLinkTags({ pageSize: 3 }, me);
  expect(first.tags.map(({ name }) => name)).toEqual(["alpha", "bravo", "charlie"]);
  const second = await bench.links.listLinkTags({ pageSize: 3, pageToken: first.nextPageToken }, me);
  expect(second.tags.map(({ name }) => name)).toEqual(["delta"]);
  expect(second.nextPageToken).toBe("");
  expect((await bench.links.listLinkTags({ search: "RAV" }, me)).tags.map(({ name }) => name)).toEqual(["bravo"]);
});

describe("a tag that is deleted", () => {
  it("leaves all links, deleted ones too, and the list; other tags and links stay", async () => {
    const [both, only, other, gone] = [
      await make(["spring", "print"]),
      await make(["spring"]),
      await make(["print"]),
      await make(["spring"]),
    ];
    await bench.links.deleteLink({ id: gone.id }, me);
    const before = (await bench.changes()).length;
    bench.clock.now += 1000;
    await bench.links.deleteLinkTag({ name: "spring" }, me);
    expect([await tagsOf(both.id), await tagsOf(only.id), await tagsOf(other.id)]).toEqual([["print"], [], ["print"]]);
    expect(await names()).toEqual(["print"]);
    expect((await changedSince(before)).sort()).toEqual([both.id, only.id, gone.id].sort());
    const { targets } = await bench.directory.getTargets(
      { codeIds: [gone.id], includeDeleted: true },
      bench.internal(workspace),
    );
    expect(targets[0]?.tags).toEqual([]);
    expect(bench.audited).toContain(`codes.delete_tag ${tagId("spring", false)}`);
    expect(bench.audited).toContain(`codes.update ${only.id}`);
    expect((await bench.links.listLinks({ tags: ["spring"] }, me)).totalCount).toBe(0n);
  });

  it("is refused when there is none, and again when it is gone", async () => {
    await make(["spring"]);
    await bench.links.deleteLinkTag({ name: "spring" }, me);
    const missing = "NotFound: tag spring does not exist";
    expect(await refusal(bench.links.deleteLinkTag({ name: "spring" }, me))).toBe(missing);
    expect(await refusal(bench.links.deleteLinkTag({ name: "Spring" }, me))).toMatch(/^NotFound/);
    expect(await refusal(bench.links.deleteLinkTag({ name: "" }, me))).toMatch(/^InvalidArgument: name /);
  });

  it("is that of its workspace and of its world alone", async () => {
    const link = await make(["spring"]);
    const [stranger, tester] = [bench.caller(`${workspace}-other`), bench.caller(workspace, { test: true })];
    for (const by of [stranger, tester]) {
      expect(await refusal(bench.links.deleteLinkTag({ name: "spring" }, by))).toMatch(/^NotFound/);
      await make(["spring"], by);
      await bench.links.deleteLinkTag({ name: "spring" }, by);
      expect(await names(by)).toEqual([]);
    }
    expect([await tagsOf(link.id), await names()]).toEqual([["spring"], ["spring"]]);
  });

  it("can be given again", async () => {
    const { id } = await make(["spring"]);
    await bench.links.deleteLinkTag({ name: "spring" }, me);
    await bench.links.updateLink({ id, tags: fromJson(ListValueSchema, ["spring"]) }, me);
    expect([await tagsOf(id), await names()]).toEqual([["spring"], ["spring"]]);
  });

  it("was known by links alone", async () => {
    const { id } = await make(["spring"]);
    await bench.store.collection(codeTagModel).of(workspace).delete(tagId("spring", false));
    await bench.links.deleteLinkTag({ name: "spring" }, me);
    expect([await tagsOf(id), await names()]).toEqual([[], []]);
  });

  it("does not undo what others write to a link at the same time", async () => {
    const { id } = await make(["spring", "print"]);
    const rival = writingBefore((codes) => codes.update(id, { set: { tags: ["summer", "spring"] } }));
    await bench.links.deleteLinkTag({ name: "spring" }, me);
    rival.mockRestore();
    expect(await tagsOf(id)).toEqual(["summer"]);
  });

  it("is told of by a repetition when the log failed", async () => {
    const { id } = await make(["spring"]);
    const before = (await bench.changes()).length;
    vi.spyOn(bench.log, "append").mockRejectedValueOnce(new Error("the process is dead"));
    expect(await refusal(bench.links.deleteLinkTag({ name: "spring" }, me))).not.toBe("Error: accepted");
    expect(await changedSince(before)).toEqual([]);
    await bench.links.deleteLinkTag({ name: "spring" }, me);
    expect([await changedSince(before), await names()]).toEqual([[id], []]);
  });
});

/** Until it is restored, somebody else writes to the codes once, just before the first bulk of the service. */
function writingBefore(write: (codes: Collection<CodeDoc>) => Promise<unknown>) {
  const collection = bench.store.collection.bind(bench.store);
  let isDone = false;
  const between = (codes: Collection<CodeDoc>): Collection<CodeDoc> => ({
    ...delegate(codes),
    bulk: async (writes) => {
      if (!isDone) await write(codes);
      isDone = true;
      return codes.bulk(writes);
    },
  });
  return vi.spyOn(bench.store, "collection").mockImplementation(((model: Model<Doc>) => {
    const bound = collection(model);
    if (model.name !== codeModel.name) return bound;
    return { of: (id: string) => between(bound.of(id) as unknown as Collection<CodeDoc>) };
  }) as typeof collection);
}

function delegate(codes: Collection<CodeDoc>): Omit<Collection<CodeDoc>, "bulk"> {
  return {
    insert: (doc) => codes.insert(doc),
    get: (id) => codes.get(id),
    getMany: (ids) => codes.getMany(ids),
    find: (query) => codes.find(query),
    count: (where) => codes.count(where),
    update: (id, change, guard) => codes.update(id, change, guard),
    delete: (id) => codes.delete(id),
    stream: (query) => codes.stream(query),
  };
}
