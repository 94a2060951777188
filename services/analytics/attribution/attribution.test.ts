import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { Code, type ConnectError } from "@connectrpc/connect";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  type AnalyzeAttributionRequestSchema,
  AttributionBy,
  AttributionMember,
  AttributionModel,
  AttributionService,
  ConversionCounting,
} from "#gen/waymark/analytics/v1/attribution_pb.ts";
import { ConversionKind, ConversionSchema } from "#gen/waymark/analytics/v1/filter_pb.ts";
import { byVisitor, type Crowd, type Hit, ms, overCrowds, percent, TAGS } from "../test-crowd.ts";
import { type AnalyticsGround, fieldOf, NOW, openAnalyticsGround } from "../test-ground.ts";
import { toMillionths } from "./attribution.ts";

let ground: AnalyticsGround;
beforeAll(async () => {
  ground = await openAnalyticsGround();
});
afterAll(() => ground.close());

const DAY = 86_400_000;
const ask = (request: MessageInitShape<typeof AnalyzeAttributionRequestSchema>, by: Crowd["by"]) =>
  ground.client(AttributionService).analyzeAttribution(request, by);

/** A conversion of plain code with its touches in order. */
interface Won {
  at: number;
  touches: Hit[];
}

type GoalName = "link" | "tag" | "conversation" | "identified" | "attribute";

const goals: Record<GoalName, MessageInitShape<typeof ConversionSchema>> = {
  link: { goal: { case: "linkId", value: "link_4" } },
  tag: { goal: { case: "tag", value: "shop" } },
  conversation: { goal: { case: "conversation", value: true } },
  identified: { goal: { case: "identified", value: true } },
  attribute: { goal: { case: "attribute", value: "plan" } },
};

const isGoal = (name: GoalName, { link }: Hit): boolean =>
  (name === "link" && link === "link_4") || (name === "tag" && (TAGS[link] ?? []).includes("shop"));

/** All conversions of each visitor, each with what may have led to it. */
function conversions(crowd: Crowd, name: GoalName, lookbackDays: number): Won[][] {
  return byVisitor(crowd.known).map((mine) => {
    const touches = mine.filter((hit) => !isGoal(name, hit));
    const before = (at: number, index: number) =>
      touches.filter((hit) => hit.at >= at - lookbackDays * DAY && mine.indexOf(hit) <= index);
    if (name === "identified" || name === "attribute") {
      const at = mine[0]?.visitor === "a" ? crowd.identifiedAt : undefined;
      if (at === undefined) return [];
      return [
        {
          at,
          touches: before(
            at,
            mine.findLastIndex((hit) => hit.at <= at),
          ),
        },
      ];
    }
    return mine.flatMap((hit, index) =>
      (name === "conversation" ? hit.talked : isGoal(name, hit))
        ? [{ at: hit.at, touches: before(hit.at, index) }]
        : [],
    );
  });
}

const UNIT = 1_000_000_000n;

/** The shares of the touches of a conversion, in billionths, by the definitions of the documents. */
function sharesOf(touches: readonly Hit[], model: string, halfLifeDays: number): bigint[] {
  const n = touches.length;
  const last = touches.at(-1)?.at ?? 0;
  const weights = touches.map(({ at }) => BigInt(Math.floor(2 ** ((at - last) / (halfLifeDays * DAY)) * 2 ** 30)));
  const weight = weights.reduce((sum, one) => sum + one, 0n);
  const position = (nth: number): bigint => {
    if (n <= 2) return UNIT / BigInt(n);
    return nth === 0 || nth === n - 1 ? (UNIT * 2n) / 5n : UNIT / 5n / BigInt(n - 2);
  };
  const parts = touches.map((_, nth) => {
    if (model === "FIRST") return nth === 0 ? UNIT : 0n;
    if (model === "LAST") return nth === n - 1 ? UNIT : 0n;
    if (model === "LINEAR") return UNIT / BigInt(n);
    return model === "TIME_DECAY" ? (UNIT * (weights[nth] ?? 0n)) / weight : position(nth);
  });
  const rest = UNIT - parts.reduce((sum, part) => sum + part, 0n);
  return parts.map((part, nth) => (nth === n - 1 ? part + rest : part));
}

const NAMES = ["FIRST", "LAST", "LINEAR", "TIME_DECAY", "POSITION"];

/** Credits by member in billionths; the key of the unknown member is "". */
function creditsOf(
  won: readonly Won[],
  membersOf: (hit: Hit) => readonly string[],
  model: string,
): Map<string, bigint> {
  const credits = new Map<string, bigint>();
  for (const { touches } of won)
    for (const [nth, share] of sharesOf(touches, model, 3).entries()) {
      const members = membersOf(touches[nth] as Hit);
      const all = members.length === 0 ? [""] : members;
      for (const [index, member] of all.entries()) {
        const part = share / BigInt(all.length) + (index === all.length - 1 ? share % BigInt(all.length) : 0n);
        credits.set(member, (credits.get(member) ?? 0n) + part);
      }
    }
  return credits;
}

const members: [AttributionBy, (hit: Hit) => readonly string[]][] = [
  [AttributionBy.LINK, ({ link }) => [link]],
  [AttributionBy.TAG, ({ link }) => [...(TAGS[link] ?? [])].sort()],
  [AttributionBy.UTM_SOURCE, ({ utmSource }) => (utmSource ? [utmSource] : [])],
  [AttributionBy.COUNTRY, ({ country }) => (country ? [country] : [])],
];

async function check(crowd: Crowd, { name, by, isOnce }: { name: GoalName; by: number; isOnce: boolean }) {
  const [dimension, membersOf] = members[by] as (typeof members)[number];
  const [start, end] = [NOW - 20 * DAY, NOW - 1 * DAY];
  const won = conversions(crowd, name, 5).flatMap((mine) => {
    const within = mine.filter(({ at }) => at >= start && at <= end);
    return isOnce ? within.slice(0, 1) : within;
  });
  const counting = isOnce ? ConversionCounting.ONCE : ConversionCounting.EVERY;
  const request = { conversion: goals[name], by: dimension, counting, lookbackDays: 5, halfLifeDays: 3 };
  const answer = await ask({ ...request, startDate: ms(start), endDate: ms(end) }, crowd.by);
  const direct = won.filter(({ touches }) => touches.length === 0).length;
  expect([answer.conversions, answer.direct]).toEqual([won.length, direct]);
  expect(answer.multiTouch).toBe(won.filter(({ touches }) => touches.length > 1).length);
  const touched = won.filter(({ touches }) => touches.length > 0);
  const keysOf = (touches: readonly Hit[]) => touches.flatMap((hit) => (membersOf(hit).length ? membersOf(hit) : [""]));
  const keys = [...new Set(touched.flatMap(({ touches }) => keysOf(touches)))];
  const withKey = (key: string) => touched.filter(({ touches }) => keysOf(touches).includes(key)).length;
  const inOrder = keys.toSorted((a, b) => withKey(b) - withKey(a) || (a < b ? -1 : 1));
  const kinds: AttributionMember[] = [
    ...inOrder.map((key) => (key === "" ? AttributionMember.UNKNOWN : AttributionMember.KNOWN)),
  ];
  if (direct > 0) kinds.push(AttributionMember.DIRECT);
  expect(answer.rows.map(({ member }) => member)).toEqual(kinds);
  expect(answer.rows.slice(0, keys.length).map(({ id, conversions: n, touches }) => [id, n, touches])).toEqual(
    inOrder.map((key) => [
      key,
      withKey(key),
      touched.flatMap(({ touches }) => keysOf(touches)).filter((one) => one === key).length,
    ]),
  );
  for (const model of NAMES) {
    const credits = creditsOf(touched, membersOf, model);
    const parts = [...inOrder.map((key) => credits.get(key) ?? 0n), ...(direct > 0 ? [BigInt(direct) * UNIT] : [])];
    const wanted = toMillionths(parts);
    expect([model, answer.rows.map(({ credit }) => credit[model])]).toEqual([model, wanted]);
    const millionths = wanted.reduce((sum, credit) => sum + Math.round(credit * 1e6), 0);
    expect(millionths).toBe(won.length * 1e6);
    expect(answer.rows[0]?.percentage[model]).toBe(
      wanted[0] === undefined ? undefined : percent(wanted[0], won.length),
    );
  }
  const pairs = inOrder.flatMap((a, x) =>
    inOrder.slice(x + 1).map((b) => {
      const both = touched.filter(({ touches }) => keysOf(touches).includes(a) && keysOf(touches).includes(b));
      return { a, b, conversions: both.length };
    }),
  );
  const overlaps = answer.overlaps.map(({ a, b, conversions: n }) => ({ a, b, conversions: n }));
  expect(overlaps).toEqual(
    pairs.filter(({ conversions: n }) => n > 0).toSorted((one, other) => other.conversions - one.conversions),
  );
}

describe("credits", () => {
  it("are those of plain code, to the millionth, and add up to the conversions", async () => {
    const names = Object.keys(goals) as GoalName[];
    await overCrowds(ground, {
      numRuns: 8,
      check: async (crowd) => {
        for (const [n, name] of names.entries())
          for (const isOnce of [true, false]) await check(crowd, { name, by: (n + Number(isOnce)) % 4, isOnce });
      },
    });
  }, 60_000);

  it("rounded to millionths still add up, and none moves by a millionth or more", () => {
    const whole = fc.array(fc.bigInt({ min: 0n, max: 5n * UNIT }), { minLength: 1, maxLength: 9 }).map((parts) => {
      const sum = parts.reduce((all, part) => all + part, 0n);
      return [...parts, (UNIT - (sum % UNIT)) % UNIT];
    });
    fc.assert(
      fc.property(whole, (parts) => {
        const rounded = toMillionths(parts).map((credit) => BigInt(Math.round(credit * 1e6)));
        const sum = (all: readonly bigint[]) => all.reduce((one, other) => one + other, 0n);
        expect(sum(rounded) * 1_000n).toBe(sum(parts));
        for (const [n, part] of parts.entries()) {
          const moved = (rounded[n] ?? 0n) * 1_000n - part;
          expect(moved > -1_000n && moved < 1_000n).toBe(true);
        }
      }),
    );
  });

  it("beyond the limit are one row, under the names of the models that were asked for", async () => {
    await overCrowds(ground, {
      numRuns: 3,
      check: async ({ by }) => {
        const request = { conversion: goals.conversation, counting: ConversionCounting.EVERY };
        const models = [AttributionModel.POSITION, AttributionModel.LINEAR];
        const { rows, conversions: n } = await ask({ ...request, limit: 1, models }, by);
        const others = rows.filter(({ member }) => member === AttributionMember.OTHER);
        const links = new Set(
          (await ask(request, by)).rows.filter(({ member }) => member === AttributionMember.KNOWN).map(({ id }) => id),
        );
        expect(others).toHaveLength(links.size > 1 ? 1 : 0);
        for (const { credit } of rows) expect(Object.keys(credit).sort()).toEqual(["LINEAR", "POSITION"]);
        for (const model of ["LINEAR", "POSITION"]) {
          const sum = rows.reduce((all, { credit }) => all + Math.round((credit[model] ?? 0) * 1e6), 0);
          expect(sum).toBe(n * 1e6);
        }
      },
    });
  });
});

describe("a conversion", () => {
  const refusal = (conversion: MessageInitShape<typeof ConversionSchema>) =>
    ask({ conversion: create(ConversionSchema, conversion) }, ground.by({ workspace: "nobody" })).then(
      () => "answered",
      (error: ConnectError) => [error.code, fieldOf(error)],
    );

  it.each([
    ["nothing", {}, "conversion"],
    ["a kind without its value", { kind: ConversionKind.LINK }, "conversion"],
    ["a conversation that is none", { goal: { case: "conversation", value: false } }, "conversion.conversation"],
    ["two kinds", { kind: ConversionKind.TAG, goal: { case: "linkId", value: "x" } }, "conversion.kind"],
  ] as const)("of %s is refused by name", async (_case, conversion, field) => {
    expect(await refusal(conversion)).toEqual([Code.InvalidArgument, field]);
  });

  it.each([
    ["IDENTIFIED", { kind: ConversionKind.IDENTIFIED }],
    ["CONVERSATION", { kind: ConversionKind.CONVERSATION }],
    ["LINK", { kind: ConversionKind.LINK, goal: { case: "linkId", value: "x" } }],
  ] as const)("may be named by the kind %s", async (_kind, conversion) => {
    expect(await refusal(conversion)).toBe("answered");
  });
});
