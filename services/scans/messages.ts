import type { MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { DeviceType } from "#gen/waymark/events/v1/touches_pb.ts";
import { ScanDevice, type ScanSchema } from "#gen/waymark/scans/v1/scans_pb.ts";
import type { TouchDoc } from "./model.ts";

const devices = new Map<number, ScanDevice>([
  [DeviceType.MOBILE, ScanDevice.MOBILE],
  [DeviceType.TABLET, ScanDevice.TABLET],
  [DeviceType.DESKTOP, ScanDevice.DESKTOP],
]);

/** A touch as the Scans API shows it. */
export function toScan(doc: TouchDoc): MessageInitShape<typeof ScanSchema> {
  return {
    id: doc.id,
    qprCodeId: doc.codeId,
    shortId: doc.shortId ?? "",
    scannedAt: timestampFromMs(doc.scannedAt),
    country: doc.country,
    region: doc.region,
    city: doc.city,
    device: devices.get(doc.device) ?? ScanDevice.UNKNOWN,
    conversationStarted: doc.started,
    conversationMessages: doc.messages,
    metadata: (doc.metadata ?? {}) as MessageInitShape<typeof ScanSchema>["metadata"],
    filtered: doc.reason,
  };
}
