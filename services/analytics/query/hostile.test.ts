import type { JsonObject, MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError } from "@connectrpc/connect";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type QueryRequestSchema, QueryService } from "#gen/waymark/analytics/v1/query_pb.ts";
import { fieldsOf } from "../fields/fields.ts";
import { type AnalyticsGround, fieldOf, NOW, openAnalyticsGround } from "../test-ground.ts";
import { touchOf } from "../test-history.ts";

let ground: AnalyticsGround;
beforeAll(async () => {
  ground = await openAnalyticsGround();
});
afterAll(() => ground.close());

type Asked = MessageInitShape<typeof QueryRequestSchema>;
const ask = (request: Asked, by = ground.by()) => ground.client(QueryService).query(request, by);

describe("hostile queries", () => {
  const SECRET = "of-the-neighbour";
  beforeAll(async () => {
    const secret = { place: { country: "XX", city: SECRET }, destination: SECRET, rule: SECRET, deviceId: SECRET };
    await ground.append([touchOf({ id: SECRET, workspaceId: "neighbour", codeId: SECRET, ...secret })]);
    await ground.append([
      touchOf({ id: `test-${SECRET}`, workspaceId: "prey", test: true, codeId: SECRET, ...secret }),
    ]);
    await ground.append([touchOf({ id: "own", workspaceId: "prey", deviceId: "d", place: { country: "DE" } })]);
    await ground.settle();
  });

  const word = fc.oneof(
    fc.constantFrom(...fieldsOf("events").map(({ name }) => name), ...fieldsOf("visitors").map(({ name }) => name)),
    fc.constantFrom(
      ...[
        "workspace",
        "1 OR 1=1",
        "'; DROP TABLE events; --",
        "country) FROM events --",
        "$workspace",
        "$wNow",
        "\u0000",
        "__proto__",
      ],
      ...[
        "constructor",
        "attributes.",
        "attributes.'||workspace||'",
        'attributes."x"',
        "attributes.$scope",
        "row_id",
        "tag.tags",
        "*",
        SECRET,
      ],
      ...[
        "(SELECT any_value(id) FROM events)",
        "read_csv('/etc/passwd')",
        "/*",
        "human = false OR",
        "test",
        "neighbour",
        "é".repeat(150),
      ],
    ),
    fc.string({ maxLength: 40 }),
  );
  const value: fc.Arbitrary<JsonObject[string]> = fc.oneof(
    word,
    fc.double({ noNaN: true, noDefaultInfinity: true }),
    fc.boolean(),
    fc.constant(null),
    fc.array(fc.oneof(word, fc.integer()), { maxLength: 3 }),
    fc.dictionary(fc.string({ maxLength: 5 }), word, { maxKeys: 2 }),
  );
  const asValue = (json: unknown): object => {
    if (typeof json === "string") return { kind: { case: "stringValue", value: json } };
    if (typeof json === "number") return { kind: { case: "numberValue", value: json } };
    if (typeof json === "boolean") return { kind: { case: "boolValue", value: json } };
    if (Array.isArray(json)) return { kind: { case: "listValue", value: { values: json.map(asValue) } } };
    return json === null ? { kind: { case: "nullValue", value: 0 } } : { kind: { case: "structValue", value: json } };
  };
  const condition = fc.record({
    field: word,
    op: fc.integer({ min: 0, max: 12 }),
    value: value.map(asValue),
    values: fc.array(value.map(asValue), { maxLength: 3 }),
  });
  // Names that there are, mostly: so many questions get as far as the engine, with hostile values.
  const real = fc.constantFrom(
    ...fieldsOf("events").map(({ name }) => name),
    "attributes.plan",
    `attributes.${"'".repeat(3)}`,
  );
  const name = fc.oneof({ weight: 30, arbitrary: real }, { weight: 1, arbitrary: word });
  const few = <T>(one: fc.Arbitrary<T>) => fc.array(one, { maxLength: 2 });
  const compared = fc.record({
    field: name,
    op: fc.oneof({ weight: 5, arbitrary: fc.constantFrom(0, 2, 9, 10, 11, 12) }, { weight: 1, arbitrary: fc.nat(14) }),
    value: fc.oneof({ weight: 5, arbitrary: word.map(asValue) }, { weight: 1, arbitrary: value.map(asValue) }),
  });
  const grouped = {
    groupBy: few(name),
    select: few(
      fc.record({ fn: fc.constantFrom("count", "countUnique", "p95"), field: fc.oneof(name, fc.constant("")) }),
    ),
    interval: fc.constantFrom(0, 0, 2, 4),
  };
  const common = {
    from: fc.oneof({ weight: 9, arbitrary: fc.constantFrom("", "events") }, { weight: 1, arbitrary: word }),
    where: few(fc.oneof({ weight: 6, arbitrary: compared }, { weight: 1, arbitrary: condition })),
    timezone: fc.oneof({ weight: 9, arbitrary: fc.constantFrom("", "Europe/Berlin") }, { weight: 1, arbitrary: word }),
    limit: fc.integer({ min: 1, max: 10_000 }),
    startDate: fc.integer({ min: NOW - 90 * 86_400_000, max: NOW }).map(timestampFromMs),
    orderBy: fc.oneof(
      { weight: 9, arbitrary: fc.constant([]) },
      { weight: 1, arbitrary: few(fc.record({ field: word, desc: fc.boolean() })) },
    ),
  };
  const hostile = fc.oneof(
    fc.record({ ...common, ...grouped }, { requiredKeys: [] }),
    fc.record({ ...common, fields: few(name) }, { requiredKeys: [] }),
    fc.record({ fields: few(word), pageToken: word, groupBy: few(word) }, { requiredKeys: [] }),
  );

  it("reach nothing of other workspaces and worlds, and break nothing", async () => {
    let answered = 0;
    const property = fc.asyncProperty(hostile, async (request) => {
      try {
        const answer = await ask(request as Asked, ground.by({ workspace: "prey" }));
        answered += 1;
        const said = JSON.stringify(answer.rows) + JSON.stringify(answer.totals);
        const echoed = JSON.stringify(request, (_key, one) => (typeof one === "bigint" ? String(one) : one)).includes(
          SECRET,
        );
        if (!echoed) expect(said).not.toContain(SECRET);
        expect(said).not.toContain('"XX"');
        expect(answer.totalCount).toBeLessThanOrEqual(1n);
      } catch (error) {
        if (!(error instanceof ConnectError)) throw error;
        expect([Code.InvalidArgument, Code.FailedPrecondition, Code.DeadlineExceeded]).toContain(error.code);
        if (error.code === Code.InvalidArgument) expect(fieldOf(error)).toBeDefined();
      }
    });
    await fc.assert(property, { numRuns: 1_500, endOnFailure: true, interruptAfterTimeLimit: 20_000 });
    expect(answered).toBeGreaterThan(100);
    const { rows } = await ask({ fields: ["id"] }, ground.by({ workspace: "prey" }));
    expect(rows).toEqual([{ id: "own" }]);
  });
});
