import { fromJson, type JsonValue } from "@bufbuild/protobuf";
import { ListValueSchema, timestampMs } from "@bufbuild/protobuf/wkt";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { AuthorityService } from "#gen/waymark/access/v1/authority_pb.ts";
import { KeyService } from "#gen/waymark/access/v1/keys_pb.ts";
import { WorkspaceTokenKeyType, WorkspaceTokenService } from "#gen/waymark/access/v1/tokens_pb.ts";
import { reasonOf } from "#runtime/failure.ts";
import { type AccessGround, NOW, newFolder, openAccessGround } from "../../test/support/access-ground.ts";
import { hashOf } from "./rules.ts";

const folder = newFolder();
let ground: AccessGround;
beforeAll(async () => {
  ground = await openAccessGround(folder.path);
});
afterAll(async () => {
  await ground.stop();
  folder.remove();
});

let workspace = "";
let made = 0;
beforeEach(() => {
  workspace = `ws-${++made}`;
  ground.clock.now = NOW;
});

const tokens = () => ground.client(WorkspaceTokenService);
const by = (who: Parameters<AccessGround["by"]>[0] = {}) => ground.by({ workspace, ...who });
const list = (json: JsonValue) => fromJson(ListValueSchema, json);

async function make(more: object = {}) {
  const wanted = {
    keyType: WorkspaceTokenKeyType.SECRET,
    name: "BI",
    scopes: ["links:write", "visitors:read"],
    ...more,
  };
  const { token, accessToken } = await tokens().createWorkspaceToken(wanted, by());
  if (token === undefined) throw new Error("no token");
  return { ...token, accessToken };
}

const change = async (id: string, request: object, who = by()) =>
  (await tokens().updateWorkspaceToken({ id, ...request }, who)).token;

const refusal = (work: Promise<unknown>) =>
  work.then(
    () => "passes",
    (error) => [reasonOf(error)?.reason, reasonOf(error)?.metadata.field].filter(Boolean).join(" "),
  );

describe("a token that is changed", () => {
  it("has its new name, and all else as before", async () => {
    const { accessToken, ...before } = await make();
    ground.clock.now = NOW + 5_000;
    const renamed = await change(before.id, { name: "Reports" });
    expect(renamed).toMatchObject({ ...before, name: "Reports", updatedAt: expect.anything() });
    expect(renamed?.updatedAt && timestampMs(renamed.updatedAt)).toBe(NOW + 5_000);
    expect(renamed?.createdAt && timestampMs(renamed.createdAt)).toBe(NOW);
    const { token } = await tokens().getWorkspaceToken({ id: before.id }, by());
    expect(token).toEqual(renamed);
    const { scopes } = await ground.client(AuthorityService).authenticate({ key: accessToken }, by());
    expect(scopes).toEqual(before.allScopes);
  });

  it("has the new scopes in place of the old ones, in the vendor's words or ours; writing allows reading", async () => {
    const { id, accessToken } = await make();
    const changed = await change(id, { scopes: list(["API_SCOPE_TOKENS_WRITE", "analytics:read", "exports:read"]) });
    const all = ["keys:write", "keys:read", "analytics:read", "exports:read"];
    expect(changed).toMatchObject({ name: "BI", allScopes: all, fullAccess: false });
    const { scopes } = await ground.client(AuthorityService).authenticate({ key: accessToken }, by());
    expect(scopes).toEqual(all);
    const told = (await ground.changes("keys.changed")).filter(({ objectId }) => objectId === id);
    expect(told.at(-1)).toMatchObject({ change: "updated", aliases: [hashOf(accessToken)] });
  });

  it("can have all that its class can", async () => {
    const [full, reader] = [await make(), await make({ keyClass: "analytics", scopes: ["analytics:read"] })];
    expect(await change(full.id, { fullAccess: true })).toMatchObject({ fullAccess: true });
    const all = (await change(reader.id, { fullAccess: true }))?.allScopes;
    expect(all).toEqual(expect.arrayContaining(["analytics:read", "visitors:read", "exports:write"]));
    expect(all).not.toContain("codes:write");
    expect(await change(full.id, { scopes: list(["links:read"]) })).toMatchObject({ fullAccess: false });
  });

  it("stays as it is when nothing is asked for", async () => {
    const { accessToken: _, ...before } = await make();
    const told = (await ground.changes("keys.changed")).length;
    ground.clock.now = NOW + 5_000;
    expect(await change(before.id, { fullAccess: false })).toEqual(before);
    expect(await ground.changes("keys.changed")).toHaveLength(told);
  });

  it.each<[string, object, string]>([
    ["no name", { name: "" }, "INVALID_FIELD name"],
    ["a long name", { name: "x".repeat(121) }, "INVALID_FIELD name"],
    ["no scopes", { scopes: list([]) }, "INVALID_FIELD scopes"],
    ["scopes and full access", { scopes: list(["links:read"]), fullAccess: true }, "INVALID_FIELD scopes"],
    ["a scope that there is not", { scopes: list(["links:read", "moon:read"]) }, "SCOPE_UNKNOWN scopes[1]"],
    ["a scope of admins", { scopes: list(["admin"]) }, "SCOPE_UNKNOWN scopes[0]"],
    ["a scope that is no text", { scopes: list(["links:read", 7]) }, "INVALID_FIELD scopes[1]"],
    ["too many scopes", { scopes: list(Array<string>(61).fill("links:read")) }, "INVALID_FIELD scopes"],
  ])("is refused %s", async (_case, request, reason) => {
    const { accessToken: _secret, ...before } = await make();
    expect(await refusal(change(before.id, request))).toBe(reason);
    expect((await tokens().getWorkspaceToken({ id: before.id }, by())).token).toEqual(before);
  });

  it("of a class keeps to what the class can", async () => {
    const { id } = await make({ keyClass: "analytics", scopes: ["analytics:read"] });
    expect(await refusal(change(id, { scopes: list(["links:write"]) }))).toBe("SCOPE_NOT_IN_CLASS scopes[0]");
  });
});

describe("who changes a token", () => {
  const narrow = (...scopes: string[]) => by({ scopes: ["keys:write", ...scopes] });

  it("must hold what the token has, and what it gets", async () => {
    const { id } = await make();
    expect(await refusal(change(id, { name: "Mine" }, narrow("codes:read")))).toBe("KEY_ABOVE");
    const held = narrow("codes:read", "codes:write", "visitors:read");
    expect(await change(id, { name: "Mine" }, held)).toMatchObject({ name: "Mine" });
    expect(await refusal(change(id, { scopes: list(["tokens:read"]) }, held))).toBe("SCOPE_NOT_HELD");
    expect(await refusal(change(id, { fullAccess: true }, held))).toBe("SCOPE_NOT_HELD");
    expect((await change(id, { scopes: list(["links:read"]) }, held))?.allScopes).toEqual(["codes:read"]);
  });

  it("has no say over tokens of others, revoked ones, and keys that are no tokens", async () => {
    const { id } = await make();
    const ended = await make();
    await tokens().deleteWorkspaceToken({ id: ended.id }, by());
    const { key } = await ground.client(KeyService).createKey({ name: "K", class: "admin", scopes: ["admin"] }, by());
    expect(await refusal(change(id, { name: "x" }, by({ workspace: "elsewhere" })))).toBe("KEY_NOT_FOUND");
    for (const other of [ended.id, key?.id ?? "", "nobody", ""])
      expect(await refusal(change(other, { name: "x" }))).toBe("KEY_NOT_FOUND");
  });

  it("for tests alone has a say over test tokens alone", async () => {
    const [live, test] = [await make(), await make({ keyClass: "development" })];
    const tester = by({ scopes: ["admin"], test: true });
    expect(await refusal(change(live.id, { name: "x" }, tester))).toBe("TEST_KEYS_ONLY");
    expect(await change(test.id, { name: "x" }, tester)).toMatchObject({ name: "x" });
  });
});
