import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { DEFAULT_WEIGHTS, leadScoreOf, PART_NAMES, partsOf, reasonsOf, type Sums, scoreOf, sharesOf } from "./parts.ts";

const ONCE: Sums = {
  visits: 1,
  links: 1,
  days: 1,
  talks: 0,
  messages: 0,
  kinds: 0,
  hasBrowser: false,
  hasPlatform: false,
  hasEmail: false,
  hasPhone: false,
  hasName: false,
  attributes: 0,
};

describe("the parts of a score", () => {
  it("of a single visit of an unknown device are nothing", () => {
    expect(leadScoreOf(partsOf(ONCE), DEFAULT_WEIGHTS)).toEqual({
      leadScore: 0,
      engagementLevel: 0,
      profileFit: 0,
      recurringInterest: 0,
      recurringScans: 0,
      technologicalAptitude: 0,
      brandSupportiveness: 0,
    });
  });

  it("are those of the worked example of the documents", () => {
    const sums = {
      ...ONCE,
      visits: 5,
      links: 3,
      days: 4,
      talks: 1,
      messages: 4,
      kinds: 1,
      hasBrowser: true,
      hasEmail: true,
    };
    const parts = partsOf({ ...sums, attributes: 2 });
    expect(leadScoreOf(parts, DEFAULT_WEIGHTS)).toEqual({
      leadScore: 53.6,
      engagementLevel: 66.67,
      profileFit: 48,
      recurringInterest: 50,
      recurringScans: 40,
      technologicalAptitude: 50,
      brandSupportiveness: 50,
    });
    expect(reasonsOf({ ...sums, attributes: 2 })).toEqual({
      engagementLevel: "5 visits, 1 conversation, 4 messages",
      profileFit: "known: email, 2 attributes",
      recurringInterest: "came on 4 days",
      recurringScans: "scanned a known code again 2 times",
      technologicalAptitude: "1 known kind of device; known: browser",
      brandSupportiveness: "met 3 links",
    });
  });

  it("and the score are 0 to 100, and more of anything is never less", () => {
    const count = fc.nat({ max: 1_000 });
    const sums = fc.record({
      ...{ visits: count.map((n) => n + 1), links: fc.constant(1), days: count.map((n) => n + 1), talks: count },
      ...{ messages: count, kinds: fc.nat({ max: 3 }), attributes: count },
      ...{ hasBrowser: fc.boolean(), hasPlatform: fc.boolean(), hasEmail: fc.boolean() },
      ...{ hasPhone: fc.boolean(), hasName: fc.boolean() },
    });
    fc.assert(
      fc.property(sums, (one) => {
        const parts = partsOf(one);
        for (const name of PART_NAMES) expect(parts[name] >= 0 && parts[name] <= 100).toBe(true);
        const score = scoreOf(parts, DEFAULT_WEIGHTS);
        expect(score >= 0 && score <= 100).toBe(true);
        const more = { ...one, visits: one.visits + 1, days: one.days + 1, talks: one.talks + 1, hasEmail: true };
        expect(scoreOf(partsOf(more), DEFAULT_WEIGHTS)).toBeGreaterThanOrEqual(score);
      }),
      { numRuns: 100 },
    );
  });

  it("count by their share of all weights", () => {
    const weights = { ...DEFAULT_WEIGHTS, engagementLevel: 130 };
    expect(sharesOf(weights)).toMatchObject({ engagementLevel: 0.65, profileFit: 0.1 });
    expect(Object.values(sharesOf(weights)).reduce((sum, share) => sum + share, 0)).toBeCloseTo(1, 8);
  });
});
