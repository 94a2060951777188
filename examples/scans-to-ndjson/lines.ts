import { fromBinary } from "@bufbuild/protobuf";
import { timestampDate } from "@bufbuild/protobuf/wkt";
import { type Touch, TouchBatchSchema, Verdict } from "#gen/waymark/events/v1/touches_pb.ts";

/** One line of JSON for each touch of a person in a message of the stream; those of programs are left out. */
export function linesOf(message: Uint8Array): string[] {
  const { touches } = fromBinary(TouchBatchSchema, message);
  return touches
    .filter(({ verdict }) => verdict === Verdict.HUMAN)
    .map((touch) => `${JSON.stringify(lineOf(touch))}\n`);
}

function lineOf({ id, workspaceId, codeId, shortId, scannedAt, place, device, destination, test }: Touch) {
  return {
    id,
    workspace: workspaceId,
    code: codeId,
    shortId,
    scannedAt: scannedAt && timestampDate(scannedAt).toISOString(),
    country: place?.country,
    city: place?.city,
    platform: device?.platform,
    destination,
    test,
  };
}
