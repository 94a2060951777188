import { create, fromJson, type JsonValue, toJson } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { ConversionSchema } from "#gen/waymark/analytics/v1/filter_pb.ts";
import { ScoringModelStatus } from "#gen/waymark/analytics/v1/scoring_pb.ts";
import type { Store } from "#runtime/store.ts";
import type { Calibration } from "./calibration.ts";
import type { Goal } from "./conversions.ts";
import { FEATURES } from "./features.ts";
import { type TrainingDoc, type TrainingStatus, trainingModel } from "./model.ts";
import type { Regression } from "./regression.ts";
import type { Owner } from "./weights.ts";

/** A workspace keeps so many; the oldest go first. */
export const MOST_TRAININGS = 20;

/** Keeps a training. */
export async function keepTraining(store: Store, { workspace, test }: Owner, training: TrainingDoc): Promise<void> {
  const trainings = store.collection(trainingModel).of(workspace);
  await trainings.insert(training);
  const old = await trainings.find({ where: { test }, sort: [["createdAt", -1]], skip: MOST_TRAININGS, limit: 100 });
  if (old.length > 0) await trainings.bulk(old.map(({ id }) => ({ kind: "delete", id })));
}

/** The trainings of a workspace, the newest first. */
export function listTrainings(store: Store, { workspace, test }: Owner): Promise<TrainingDoc[]> {
  const query = { where: { test }, sort: [["createdAt", -1] as const], limit: MOST_TRAININGS };
  return store.collection(trainingModel).of(workspace).find(query);
}

/** A training by id; undefined when there is none. */
export async function trainingOf(store: Store, owner: Owner, id: string): Promise<TrainingDoc | undefined> {
  const found = await store.collection(trainingModel).of(owner.workspace).get(id);
  return found?.test === owner.test ? found : undefined;
}

/** The newest training that learnt something; undefined when there is none. */
export async function newestTraining(store: Store, { workspace, test }: Owner): Promise<TrainingDoc | undefined> {
  const statuses: TrainingStatus[] = ["READY", "BASE_RATE"];
  const found = await Promise.all(
    statuses.map((status) =>
      store
        .collection(trainingModel)
        .of(workspace)
        .find({ where: { test, status }, sort: [["createdAt", -1]], limit: 1 }),
    ),
  );
  return found.flat().toSorted((a, b) => b.createdAt - a.createdAt)[0];
}

/** A goal as it is stored. */
export function goalJson(goal: Goal): JsonValue {
  return toJson(ConversionSchema, create(ConversionSchema, { goal }));
}

/** The goal of a training. */
export function goalOf({ conversion }: Pick<TrainingDoc, "conversion">): Goal {
  return fromJson(ConversionSchema, conversion).goal;
}

const STATUSES: Readonly<Record<TrainingStatus, ScoringModelStatus>> = {
  READY: ScoringModelStatus.READY,
  BASE_RATE: ScoringModelStatus.BASE_RATE,
  REFUSED: ScoringModelStatus.REFUSED,
};

/** A training as the API shows it. */
export function toModel(doc: TrainingDoc) {
  const { learnt } = doc;
  const goal = goalOf(doc);
  return {
    id: doc.id,
    status: STATUSES[doc.status],
    reason: doc.reason,
    conversion: goal.case === undefined ? undefined : { goal },
    horizonDays: doc.horizonDays,
    intercept: learnt?.regression.intercept ?? 0,
    features: learnt === undefined ? [] : featuresOf(learnt.regression),
    baseRate: learnt?.baseRate ?? 0,
    trainedVisitors: BigInt(learnt?.visitors ?? 0),
    trainedPositives: BigInt(learnt?.positives ?? 0),
    trainedFrom: timestampFromMs(doc.trainedFrom),
    heldOutFrom: timestampFromMs(doc.heldOutFrom),
    completeUntil: timestampFromMs(doc.completeUntil),
    sampled: doc.sampled,
    calibration: learnt === undefined ? undefined : toCalibration(learnt.calibration),
    createdAt: timestampFromMs(doc.createdAt),
  };
}

function featuresOf({ means, scales, weights }: Regression) {
  return FEATURES.map(({ name, about, transform }, index) => ({
    name,
    description: about,
    transform,
    mean: means[index] ?? 0,
    scale: scales[index] ?? 1,
    weight: weights[index] ?? 0,
  }));
}

/** A calibration as the API shows it. */
export function toCalibration({ visitors, positives, bins, ...numbers }: Calibration) {
  return {
    ...numbers,
    visitors: BigInt(visitors),
    positives: BigInt(positives),
    bins: bins.map((bin) => ({ ...bin, visitors: BigInt(bin.visitors) })),
  };
}
