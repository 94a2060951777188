import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs, timestampMs } from "@bufbuild/protobuf/wkt";
import { Purpose } from "#gen/waymark/events/v1/touches_pb.ts";
import { type TouchInput, TouchInputSchema } from "#gen/waymark/scans/v1/intake_pb.ts";
import type { PaginationSchema, VisitSchema } from "#gen/waymark/touchpoints/v1/metrics_pb.ts";
import type {
  ExperienceSchema,
  TouchpointScanInput,
  TouchpointSchema,
} from "#gen/waymark/touchpoints/v1/touchpoints_pb.ts";
import type { ExperienceDoc, TouchpointDoc } from "./model.ts";
import type { Page, Scan } from "./rules.ts";

/** An experience as its API shows it. */
export function toExperience(doc: ExperienceDoc): MessageInitShape<typeof ExperienceSchema> {
  return { id: doc.id, name: doc.name, value: doc.value, createdAt: timestampFromMs(doc.createdAt) };
}

/** A touchpoint as its API shows it. */
export function toTouchpoint(doc: TouchpointDoc): MessageInitShape<typeof TouchpointSchema> {
  const { id, experienceId, name, value } = doc;
  return { id, experienceId, name, value, createdAt: timestampFromMs(doc.createdAt) };
}

/** Page as it is repeated to the caller. */
export function toPagination({ offset, pageSize }: Page): MessageInitShape<typeof PaginationSchema> {
  return { offset, pageSize };
}

/** A line of visit details. */
export function toVisitLine(userId: string, at: number): MessageInitShape<typeof VisitSchema> {
  return { userId, timestampUtc: timestampFromMs(at) };
}

/** A scan as the rules judge it. */
export function fromScanInput({ id, touchpointId, userId, timestampUtc }: TouchpointScanInput): Scan {
  return { id, touchpointId, userId, at: timestampUtc === undefined ? undefined : timestampMs(timestampUtc) };
}

/** A scan as intake takes it. */
export function toTouchInput(scan: Scan, touchpoint: TouchpointDoc): TouchInput {
  return create(TouchInputSchema, {
    id: scan.id ?? "",
    purpose: Purpose.TOUCHPOINT,
    codeId: touchpoint.id,
    parentId: touchpoint.experienceId,
    userId: scan.userId,
    ...(scan.at !== undefined && { scannedAt: timestampFromMs(scan.at) }),
  });
}
