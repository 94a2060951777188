import { mongo } from "mongoose";
import { describe, expect, it } from "vitest";
import { reasonOf } from "../../failure.ts";
import { duplicateOf, isLost, isUndone, translate } from "./failure.ts";

describe("a duplicate key", () => {
  it.each([
    ["MongoDB", 'E11000 duplicate key error collection: waymark.tags.tags index: value dup key: { _w: "w" }', "value"],
    ["MongoDB, by id", 'E11000 duplicate key error collection: a.b index: _id_ dup key: { _id: "w/index: x" }', "_id_"],
    [
      "MongoDB with a collation",
      'E11000 duplicate key error collection: a.b index: by-x collation: { locale: "de" } dup key: { x: 1 }',
      "by-x",
    ],
    ["FerretDB", "Duplicate key violation on the requested collection: Index 'owner_slug'", "owner_slug"],
    ["a server that does not say", "E11000 duplicate", ""],
  ])("of %s names its index", (_server, message, index) => {
    expect(duplicateOf({ code: 11_000, message })).toBe(index);
  });

  it("without code is known by PostgreSQL's words, and nothing else is one", () => {
    const message = 'conflicting key value violates exclusion constraint "documents_rum_index_17"';
    expect(duplicateOf({ code: 1, message })).toBe("");
    expect(duplicateOf({ code: 1, message: "out of memory" })).toBeUndefined();
    expect(duplicateOf({ code: 66, message: "index: x dup key" })).toBeUndefined();
  });
});

describe("what Node says of a socket, which the driver passes on", () => {
  it.each(["EPIPE", "ECONNRESET", "ECONNREFUSED", "ETIMEDOUT", "ERR_STREAM_DESTROYED", "ERR_SOCKET_CLOSED"])(
    "%s is the store's trouble, and a read may be made again",
    (code) => {
      const error = Object.assign(new Error("This socket has been ended by the other party"), { code });
      expect(reasonOf(translate(error))?.reason).toBe("STORE_UNAVAILABLE");
      expect(isLost(error)).toBe(true);
    },
  );

  it("is nothing else", () => {
    const error = Object.assign(new Error("no"), { code: "ERR_INVALID_ARG_TYPE" });
    expect([translate(error), isLost(error)]).toEqual([error, false]);
  });
});

describe("an error of the driver", () => {
  const server = (code: number) => new mongo.MongoServerError({ code, errmsg: "at 10.0.0.1: secret" });

  it.each([
    ["a lost connection", new mongo.MongoNetworkError("read ECONNRESET 10.0.0.1"), "it cannot be reached"],
    ["no server", new mongo.MongoServerSelectionError("10.0.0.1", {} as never), "it cannot be reached"],
    ["a full disk", server(14_031), "its disk is full"],
    ["no majority", server(64), "majority"],
    ["a fault inside", server(8), "look at its log"],
  ])("becomes STORE_UNAVAILABLE without the words of the driver: %s", (_case, error, why) => {
    const failure = translate(error);
    expect(reasonOf(failure)).toMatchObject({ reason: "STORE_UNAVAILABLE" });
    expect((failure as Error).message).toContain(why);
    expect((failure as Error).message).not.toMatch(/10\.0|secret/);
  });

  it.each([
    ["a count of what is no number", 14, "not a number"],
    ["a path through a number", 28, "not an object"],
    ["a document that is too large", 10_334, "cannot keep this document"],
  ])("becomes a refusal that no repetition helps against: %s", (_case, code, message) => {
    const failure = translate(server(code));
    expect(reasonOf(failure)).toBeUndefined();
    expect((failure as Error).message).toContain(message);
  });

  it("says that nothing was done only when another server is the primary", () => {
    expect(isUndone(server(10_107))).toBe(true);
    expect(isUndone(server(11_602))).toBe(false);
    expect(isUndone(new mongo.MongoNetworkError("gone"))).toBe(false);
  });
});
