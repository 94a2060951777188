import { create, equals, fromBinary, type MessageInitShape, toBinary, toJson } from "@bufbuild/protobuf";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { RouteInput } from "../routes.ts";
import { InputError } from "./fault.ts";
import { messages } from "./fixture/arbitrary.ts";
import { boxed, camel, messageOf, registry, routeOf, snake, tableIn } from "./fixture/things.ts";
import { parseTemplate } from "./template.ts";

const Thing = messageOf("Thing");
const snakeTable = tableIn(snake);

/** Reads, and lets nothing but an InputError through. */
function readOrRefuse(rpc: string, input: Partial<RouteInput>): void {
  for (const route of snakeTable.routes.filter((other) => other.rpc.name === rpc)) {
    try {
      const message = route.read({ params: ["1", "1"], query: "", body: undefined, contentType: undefined, ...input });
      toBinary(route.rpc.input, message);
    } catch (error) {
      if (!(error instanceof InputError)) throw error;
      expect(error.fields.length).toBeLessThanOrEqual(20);
    }
  }
}

/** JSON that looks like things: known names, and values of every wrong kind. */
const names = Thing.fields.flatMap((field) => [field.name, field.jsonName]);
const wild = fc.letrec((tie) => ({
  value: fc.oneof(
    { maxDepth: 5, withCrossShrink: true },
    fc.constantFrom(null, true, 0, -1, 1.5, 1e308, "", "x", "12", "2026-03-20", "red", "1s", "AQID", "\ud800"),
    fc.jsonValue({ maxDepth: 1 }),
    fc.array(tie("value"), { maxLength: 3 }),
    fc.dictionary(fc.oneof(fc.constantFrom(...names, "__proto__", "constructor", "7"), fc.string()), tie("value"), {
      maxKeys: 6,
    }),
  ),
}));

describe("random messages", () => {
  it.each([
    [snake, { milliseconds: false, longs: false }],
    [camel, { milliseconds: true, longs: true }],
  ])("come back as they were written ($name)", (dialect, lossless) => {
    const table = tableIn(dialect);
    const get = routeOf(table, "GetThing");
    const replace = routeOf(table, "ReplaceThing");
    fc.assert(
      fc.property(messages(Thing, lossless), (thing) => {
        const fields = { thing } as MessageInitShape<typeof get.rpc.output>;
        const { body } = get.write(create(get.rpc.output, fields));
        const request = replace.read({ params: ["t"], query: "", body: Buffer.from(body), contentType: undefined });
        const back = (request as unknown as { thing: typeof thing }).thing;
        expect(toJson(Thing, back, { registry })).toEqual(toJson(Thing, thing, { registry }));
        expect(equals(Thing, fromBinary(Thing, toBinary(Thing, back)), back)).toBe(true);
      }),
      { numRuns: 300 },
    );
  });

  it.each([snake, camel, boxed])("are always written as JSON ($name)", (dialect) => {
    const get = routeOf(tableIn(dialect), "GetThing");
    fc.assert(
      fc.property(messages(Thing, { milliseconds: true, longs: true }), (thing) => {
        const fields = { thing } as MessageInitShape<typeof get.rpc.output>;
        expect(JSON.parse(get.write(create(get.rpc.output, fields)).body)).toBeTypeOf("object");
      }),
      { numRuns: 100 },
    );
  });
});

describe("random requests are read or refused", () => {
  it("as JSON bodies", () => {
    fc.assert(
      fc.property(wild.value, (value) => {
        const body = Buffer.from(JSON.stringify(value) ?? "");
        readOrRefuse("ReplaceThing", { body });
        readOrRefuse("CreateThing", { body: Buffer.from(`{"thing":${body}}`) });
        readOrRefuse("RecordItems", { body: Buffer.from(`{"items":[${body},{}]}`) });
        readOrRefuse("RecordItems", { body: Buffer.from(`${body}\n${body}`), contentType: "application/x-ndjson" });
      }),
      { numRuns: 400 },
    );
  });

  it("as bytes", () => {
    fc.assert(
      fc.property(fc.uint8Array(), fc.string(), (body, contentType) => {
        readOrRefuse("CreateThing", { body, contentType });
        readOrRefuse("RecordItems", { body, contentType: "application/x-ndjson" });
      }),
      { numRuns: 300 },
    );
  });

  it("as queries", () => {
    const name = fc.array(
      fc.constantFrom(
        "limit",
        "filter",
        "since_time",
        "onlyColors",
        "deeper_filter",
        "by_shelf",
        "shelf_id",
        "country",
        "max_age",
        "__proto__",
        "",
      ),
      { minLength: 1, maxLength: 4 },
    );
    const value = fc.oneof(fc.string(), fc.constantFrom("1", "true", "red", "2026-03-20", "5s", "%", "%ff", "a%00b"));
    const pair = fc.tuple(name, value).map(([steps, text]) => `${steps.join(".")}=${text}`);
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.array(pair, { maxLength: 6 }).map((pairs) => pairs.join("&")),
        ),
        (query) => {
          readOrRefuse("ListThings", { query });
        },
      ),
      { numRuns: 500 },
    );
  });

  it("as parameters of the path", () => {
    fc.assert(fc.property(fc.string({ unit: "binary" }), (text) => readOrRefuse("GetThing", { params: [text, text] })));
  });
});

describe("random paths", () => {
  const table = snakeTable;

  it("are matched or not, and never throw", () => {
    const piece = fc.oneof(
      fc.string(),
      fc.constantFrom("v1", "things", "shelves", ":watch", "%2F", "%", "%ff", "..", ""),
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 8 }), fc.string(), (pieces, method) => {
        table.match(method, pieces.join("/"));
        expect(["route", "method", "none"]).toContain(table.match("GET", `/${pieces.join("/")}`).kind);
      }),
      { numRuns: 1000 },
    );
  });

  it("carry any text as a parameter", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary", minLength: 1 }), (text) => {
        expect(table.match("DELETE", `/v1/things/${encodeURIComponent(text)}`)).toMatchObject({ params: [text] });
      }),
    );
  });

  it("are quick however long they are", () => {
    const start = performance.now();
    table.match("GET", `/v1/things/${"a/".repeat(100_000)}`);
    table.match("GET", `/v1/things/${"%2F".repeat(100_000)}`);
    expect(performance.now() - start).toBeLessThan(500);
  });

  it("as templates are parsed or refused with a column", () => {
    const piece = fc.constantFrom("/", "{", "}", "*", "**", "=", ":", ".", "a", "id", "v1", "%41", "%", " ");
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 12 }), (pieces) => {
        try {
          parseTemplate(pieces.join(""));
        } catch (error) {
          expect((error as Error).message).toMatch(/column \d+: expected .+, found .+/);
        }
      }),
      { numRuns: 2000 },
    );
  });
});
