import type { JsonValue } from "@bufbuild/protobuf";
import { type Doc, defineModel } from "#runtime/model.ts";
import type { Calibration } from "./calibration.ts";
import type { Parts } from "./parts.ts";
import type { Regression } from "./regression.ts";

/** The weights of a workspace as stored; those of test data stand apart. */
export interface WeightsDoc extends Doc {
  weights: Parts;
  /** Counts up with every change, from 1. */
  revision: number;
  /** Milliseconds since 1970. */
  updatedAt: number;
}

/** Weights of lead scores. */
export const weightsModel = defineModel<WeightsDoc>({
  name: "analytics.weights",
  fields: {
    weights: { kind: "object", required: true },
    revision: { kind: "number", required: true },
    updatedAt: { kind: "number", required: true },
  },
  indexes: [],
});

/** What became of a training. */
export type TrainingStatus = "READY" | "BASE_RATE" | "REFUSED";

/** What a training learnt; nothing when it was refused. */
export interface Learnt {
  regression: Regression;
  baseRate: number;
  visitors: number;
  positives: number;
  calibration: Calibration;
}

/** A training as stored. Times are milliseconds since 1970. */
export interface TrainingDoc extends Doc {
  test: boolean;
  status: TrainingStatus;
  reason: string;
  /** A Conversion as JSON; empty for the default. */
  conversion: JsonValue;
  horizonDays: number;
  zone: string;
  trainedFrom: number;
  heldOutFrom: number;
  completeUntil: number;
  sampled: number;
  createdAt: number;
  learnt?: Learnt;
}

/** Trainings of models of conversion. */
export const trainingModel = defineModel<TrainingDoc>({
  name: "analytics.trainings",
  fields: {
    test: { kind: "boolean", required: true },
    status: { kind: "string", required: true },
    reason: { kind: "string", required: true },
    conversion: { kind: "object", required: true },
    horizonDays: { kind: "number", required: true },
    zone: { kind: "string", required: true },
    trainedFrom: { kind: "number", required: true },
    heldOutFrom: { kind: "number", required: true },
    completeUntil: { kind: "number", required: true },
    sampled: { kind: "number", required: true },
    createdAt: { kind: "number", required: true },
    learnt: { kind: "object" },
  },
  indexes: [
    { name: "created", fields: ["test", "createdAt"] },
    { name: "status", fields: ["test", "status", "createdAt"] },
  ],
});
