import { type Client, Code, type ConnectError } from "@connectrpc/connect";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ScoringModelStatus, ScoringService } from "#gen/waymark/analytics/v1/scoring_pb.ts";
import { DeviceType, type Touch } from "#gen/waymark/events/v1/touches_pb.ts";
import { reasonOf } from "#runtime/failure.ts";
import { randomOf } from "../forecast/test-series.ts";
import { type AnalyticsGround, fieldOf, NOW, openAnalyticsGround } from "../test-ground.ts";
import { touchOf } from "../test-history.ts";
import { MOST_TRAININGS } from "./models.ts";
import { DEFAULT_WEIGHTS } from "./parts.ts";
import { logistic } from "./regression.ts";

const DAY = 86_400_000;
const HORIZON = 14 * DAY;

let ground: AnalyticsGround;
let api: Client<typeof ScoringService>;
beforeAll(async () => {
  ground = await openAnalyticsGround();
  api = ground.client(ScoringService);
});
afterAll(() => ground.close());

const key = (workspace: string, who = {}) => ground.by({ workspace, ...who });
const refused = async (call: Promise<unknown>) => {
  const error = (await call.then(
    () => undefined,
    (caught: unknown) => caught,
  )) as ConnectError;
  return { code: error.code, reason: reasonOf(error)?.reason, message: error.rawMessage, field: fieldOf(error) };
};

describe("weights", () => {
  it("are the default until they are set, each time with a higher version", async () => {
    const { scoring } = await api.getScoring({}, key("weights"));
    expect(scoring).toMatchObject({ version: 0, weights: DEFAULT_WEIGHTS });
    const set = await api.updateScoring({ weights: { engagementLevel: 1, profileFit: 3 } }, key("weights"));
    expect(set.scoring).toMatchObject({
      version: 1,
      weights: { engagementLevel: 1, profileFit: 3, recurringScans: 0 },
    });
    await api.updateScoring({ weights: { recurringScans: 1 }, version: 1 }, key("weights"));
    expect((await api.getScoring({}, key("weights"))).scoring).toMatchObject({
      version: 2,
      weights: { recurringScans: 1 },
    });
    expect((await api.getScoring({}, key("weights", { test: true }))).scoring?.version).toBe(0);
    expect((await api.getScoring({}, key("others"))).scoring?.version).toBe(0);
  });

  it("are refused when they are not of the version that was read, or all nothing, or out of range", async () => {
    const weights = { engagementLevel: 1 };
    await api.updateScoring({ weights }, key("version"));
    expect(await refused(api.updateScoring({ weights, version: 0 }, key("version")))).toMatchObject({
      code: Code.Aborted,
      reason: "SCORING_CHANGED",
    });
    expect(await refused(api.updateScoring({ weights: {} }, key("version")))).toMatchObject({ field: "weights" });
    expect(await refused(api.updateScoring({}, key("version")))).toMatchObject({ field: "weights" });
    for (const profileFit of [-1, 1_001, Number.NaN])
      expect(await refused(api.updateScoring({ weights: { profileFit } }, key("version")))).toMatchObject({
        code: Code.InvalidArgument,
        field: "weights.profile_fit",
      });
  });
});

describe("scores", () => {
  beforeAll(async () => {
    const visit = (id: string, days: number, codeId: string, deviceId = "d1") =>
      touchOf({
        ...{ workspaceId: "scores", id, codeId, deviceId, at: NOW - days * DAY },
        device: { type: DeviceType.MOBILE, browser: "Safari" },
        conversationStarted: id === "e3",
        conversationMessages: id === "e3" ? 4 : 0,
      });
    await ground.append([visit("e1", 4, "a"), visit("e2", 3, "a"), visit("e3", 2, "b"), visit("x", 1, "a", "")]);
    await ground.append([visit("e5", 1, "c"), visit("e4", 1.5, "b"), visit("z", 1, "a", "d2")]);
    await ground.settle();
  });

  it("of a visitor are the sum of their parts, each with a weight and a reason", async () => {
    const reply = await api.getVisitorScore({ visitorId: "vis_d1" }, key("scores"));
    expect(reply).toMatchObject({
      visitorId: "vis_d1",
      version: 0,
      model: "lead-score-1",
    });
    const part = (name: string) => reply.parts.find((one) => one.name === name);
    expect(part("engagementLevel")).toMatchObject({
      value: 66.67,
      weight: 0.3,
      contribution: 20,
      reason: "5 visits, 1 conversation, 4 messages",
    });
    expect(part("profileFit")).toMatchObject({ value: 0, reason: "nothing is known of the visitor" });
    expect(part("recurringScans")).toMatchObject({ value: 40 });
    expect(reply.parts.reduce((sum, { weight }) => sum + weight, 0)).toBeCloseTo(1, 9);
    expect(reply.parts.reduce((sum, { contribution }) => sum + contribution, 0)).toBeCloseTo(reply.score, 1);
  });

  it("follow the weights", async () => {
    await api.updateScoring({ weights: { recurringScans: 1 } }, key("scores"));
    const reply = await api.getVisitorScore({ visitorId: "vis_d1" }, key("scores"));
    expect([reply.score, reply.version]).toEqual([40, 1]);
    await api.updateScoring({ weights: DEFAULT_WEIGHTS }, key("scores"));
  });

  it("of an event are of what had come with it", async () => {
    const first = await api.getLeadScore({ linkId: "a", eventId: "e1" }, key("scores"));
    expect(first).toMatchObject({ leadScore: 2.5, recurringScans: 0, breakdown: { technologicalAptitude: 50 } });
    expect(first.scoringContext).toContain("the first event of visitor vis_d1 up to 2026-11-16T12:00:00.000Z");
    const third = await api.getLeadScore({ linkId: "b", eventId: "e3" }, key("scores"));
    expect(third).toMatchObject({
      recurringScans: 25,
      breakdown: { engagementLevel: 62.5, leadScore: third.leadScore },
    });
    expect(third.scoringRationale).toMatch(/^engagementLevel adds 18\.75: 3 visits, 1 conversation, 4 messages\./);
    expect(await api.getLeadScore({ linkId: "b", eventId: "e3" }, key("scores"))).toEqual(third);
    const { score } = await api.getVisitorScore({ visitorId: "vis_d1" }, key("scores"));
    expect((await api.getLeadScore({ linkId: "c", eventId: "e5" }, key("scores"))).leadScore).toBe(score);
  });

  it("come with events that ask for them, and on average with the metrics", async () => {
    const { json } = await ground.api.listEvents({ include: ["leadScore"] }, key("scores"));
    const scores = await Promise.all(
      ["vis_d1", "vis_d2"].map(async (visitorId) => (await api.getVisitorScore({ visitorId }, key("scores"))).score),
    );
    for (const { visitorId, leadScore, leadScoreId, id } of json?.events ?? []) {
      const score = visitorId === undefined ? undefined : scores[visitorId === "vis_d1" ? 0 : 1];
      expect([leadScore?.leadScore, leadScoreId]).toEqual([score, visitorId === undefined ? undefined : id]);
    }
    const { averageLeadScore } = await ground.api.getEventMetrics({}, key("scores"));
    expect(averageLeadScore).toBeCloseTo((5 * (scores[0] ?? 0) + (scores[1] ?? 0)) / 6, 1);
    const ofLink = await ground.api.getEventMetrics({ linkId: "b" }, key("scores"));
    expect(ofLink.averageLeadScore).toBe(scores[0]);
    const bare = (await ground.api.listEvents({}, key("scores"))).json?.events[0];
    expect([bare?.leadScore, bare?.leadScoreId]).toEqual([undefined, undefined]);
    expect((await ground.api.getEventMetrics({}, key("nobody"))).averageLeadScore).toBe(undefined);
  });

  it.each<[string, () => Promise<unknown>, string]>([
    ["an unknown visitor", () => api.getVisitorScore({ visitorId: "vis_d9" }, key("scores")), "VISITOR_NOT_FOUND"],
    ["a visitor of others", () => api.getVisitorScore({ visitorId: "vis_d1" }, key("others")), "VISITOR_NOT_FOUND"],
    [
      "a visitor of real data",
      () => api.getVisitorScore({ visitorId: "vis_d1" }, key("scores", { test: true })),
      "VISITOR_NOT_FOUND",
    ],
    [
      "an event of another link",
      () => api.getLeadScore({ linkId: "b", eventId: "e1" }, key("scores")),
      "EVENT_NOT_FOUND",
    ],
    ["an event of others", () => api.getLeadScore({ linkId: "a", eventId: "e1" }, key("others")), "EVENT_NOT_FOUND"],
    [
      "an event of an unknown device",
      () => api.getLeadScore({ linkId: "a", eventId: "x" }, key("scores")),
      "EVENT_UNSCORED",
    ],
    [
      "an unknown model",
      () => api.getVisitorScore({ visitorId: "vis_d1", modelId: "m" }, key("scores")),
      "MODEL_NOT_FOUND",
    ],
  ])("of %s are not found", async (_what, call, reason) => {
    expect(await refused(call())).toMatchObject({ code: Code.NotFound, reason });
  });
});

/** Visitors of whom those who came often talk within a horizon, most of them; those who came once seldom, or all by lot. */
async function people(workspaceId: string, given: { often: number; once: number }): Promise<void> {
  const random = randomOf(5);
  const touches: Touch[] = [];
  for (let n = 0; n < 700; n += 1) {
    const isOften = n % 2 === 0;
    const began = NOW - 3 * HORIZON + random() * HORIZON * 0.9;
    const visit = (id: string, at: number, conversationStarted = false) =>
      touches.push(
        touchOf({ workspaceId, id: `${n}.${id}`, deviceId: `d${n}`, at: Math.floor(at), conversationStarted }),
      );
    for (let visits = isOften ? 5 : 1; visits > 0; visits -= 1) visit(`v${visits}`, began + visits * 60_000);
    for (const from of [NOW - 2 * HORIZON, NOW - HORIZON]) {
      if (random() > (isOften ? given.often : given.once)) continue;
      visit("talk", from + (0.1 + 0.8 * random()) * HORIZON, true);
      break;
    }
  }
  for (let first = 0; first < touches.length; first += 500) await ground.append(touches.slice(first, first + 500));
  await ground.settle();
}

describe("a model of conversion", () => {
  it("is refused when there is too little to learn from, and listed with the reason", async () => {
    const answer = await refused(api.trainScoringModel({}, key("scores")));
    expect(answer).toMatchObject({ code: Code.FailedPrecondition, reason: "MODEL_TOO_THIN" });
    expect(answer.message).toContain("needs 50 visitors who converted to learn from");
    const { models } = await api.listScoringModels({}, key("scores"));
    expect(models).toMatchObject([{ status: ScoringModelStatus.REFUSED, features: [] }]);
    const [model] = models;
    expect(model?.calibration).toBe(undefined);
    expect((await api.getScoringModel({ modelId: model?.id ?? "" }, key("scores"))).model).toEqual(model);
    for (const who of [key("others"), key("scores", { test: true })])
      expect(await refused(api.getScoringModel({ modelId: model?.id ?? "" }, who))).toMatchObject({
        reason: "MODEL_NOT_FOUND",
      });
    expect((await api.getVisitorScore({ visitorId: "vis_d1" }, key("scores"))).conversionLikelihood).toBe(undefined);
  });

  it("keeps the latest trainings only", async () => {
    for (let n = 0; n < MOST_TRAININGS + 3; n += 1) await refused(api.trainScoringModel({}, key("many")));
    expect((await api.listScoringModels({}, key("many"))).models).toHaveLength(MOST_TRAININGS);
  });

  it("learns who converts, says how well that holds, and why a visitor may", async () => {
    await people("learn", { often: 0.6, once: 0.1 });
    const { model } = await api.trainScoringModel({}, key("learn"));
    expect(model).toMatchObject({
      status: ScoringModelStatus.READY,
      horizonDays: 14,
      sampled: 1,
      trainedVisitors: 700n,
    });
    expect(model?.calibration?.auc).toBeGreaterThan(0.65);
    expect(model?.calibration?.expectedCalibrationError).toBeLessThan(0.12);
    expect(model?.calibration?.logLoss).toBeLessThan(model?.calibration?.baseLogLoss as number);
    const again = await api.trainScoringModel({}, key("learn"));
    expect(again.model).toEqual({ ...model, id: again.model?.id });

    const visitors = await Promise.all(
      Array.from({ length: 20 }, (_, n) => api.getVisitorScore({ visitorId: `vis_d${n}` }, key("learn"))),
    );
    const asked = visitors.map(({ conversionLikelihood: one }) => one);
    const open = asked.flatMap((one, n) => (one?.hasConverted === false ? [{ n, one }] : []));
    const mean = (some: typeof open) => some.reduce((sum, { one }) => sum + (one.probability ?? 0), 0) / some.length;
    expect(mean(open.filter(({ n }) => n % 2 === 0))).toBeGreaterThan(2 * mean(open.filter(({ n }) => n % 2 === 1)));
    for (const { one } of open) {
      const odds = one.contributions.reduce((sum, { contribution }) => sum + contribution, one.intercept);
      expect(one.probability).toBeCloseTo(logistic(odds), 9);
      for (const { weight, standardized, contribution } of one.contributions)
        expect(contribution).toBeCloseTo(weight * standardized, 9);
      expect(one).toMatchObject({ isBaseRate: false, horizonDays: 14, modelId: again.model?.id });
      expect(one.calibration).toEqual(model?.calibration);
    }
    const converted = asked.find((one) => one?.hasConverted);
    expect([converted?.probability, converted?.hasConverted]).toEqual([undefined, true]);
    const other = await api.getVisitorScore({ visitorId: "vis_d1", modelId: model?.id }, key("learn"));
    expect(other.conversionLikelihood?.modelId).toBe(model?.id);
  });

  it("that is not better than the base rate says so, and the base rate is answered", async () => {
    await people("lot", { often: 0.25, once: 0.25 });
    const { model } = await api.trainScoringModel(
      { conversion: { goal: { case: "conversation", value: true } } },
      key("lot"),
    );
    expect(model?.status).toBe(ScoringModelStatus.BASE_RATE);
    expect(model?.reason).toContain("the base rate is answered");
    const replies = await Promise.all(
      [0, 1, 2, 3].map((n) => api.getVisitorScore({ visitorId: `vis_d${n}` }, key("lot"))),
    );
    const open = replies.find(({ conversionLikelihood: one }) => one?.hasConverted === false)?.conversionLikelihood;
    expect(open).toMatchObject({ isBaseRate: true, probability: model?.baseRate, contributions: [] });
  });

  it.each([
    ["horizon_days", { horizonDays: 0 }],
    ["horizon_days", { horizonDays: 181 }],
    ["conversion.link_id", { conversion: { goal: { case: "linkId" as const, value: "" } } }],
  ])("with a wrong %s is refused", async (field, request) => {
    expect(await refused(api.trainScoringModel(request, key("learn")))).toMatchObject({
      code: Code.InvalidArgument,
      field,
    });
  });
});
