import { NotificationType } from "#gen/waymark/tags/v1/notifications_pb.ts";
import { Sender as SenderEnum, ThreadStatus } from "#gen/waymark/tags/v1/scan_pb.ts";
import { TagStatus, TagType } from "#gen/waymark/tags/v1/tags_pb.ts";

/** A status of a tag, in the word that the API and the store use. */
export type Status = Exclude<keyof typeof TagStatus, "UNSPECIFIED">;
/** A type of a tag. */
export type Type = Exclude<keyof typeof TagType, "UNSPECIFIED">;
/** A status of a thread. */
export type ThreadState = Exclude<keyof typeof ThreadStatus, "UNSPECIFIED">;
/** Who wrote a message. */
export type Sender = Exclude<keyof typeof SenderEnum, "UNSPECIFIED">;

type Enum = Readonly<Record<string, number>>;

/** The word of an enum's number; undefined for UNSPECIFIED and for numbers that the enum does not have. */
function wordOf<E extends Enum>(
  of: E,
  number: number | undefined,
): Exclude<keyof E & string, "UNSPECIFIED"> | undefined {
  if (number === undefined || number === 0) return undefined;
  return Object.keys(of).find((word) => of[word] === number) as Exclude<keyof E & string, "UNSPECIFIED"> | undefined;
}

/** The word of a tag's status. */
export const statusWord = (number: number | undefined): Status | undefined => wordOf(TagStatus, number);
/** The word of a tag's type. */
export const typeWord = (number: number | undefined): Type | undefined => wordOf(TagType, number);
/** The word of a thread's status. */
export const threadWord = (number: number | undefined): ThreadState | undefined => wordOf(ThreadStatus, number);

/** The numbers of the words. */
export const numberOf = {
  status: (word: Status) => TagStatus[word],
  type: (word: Type) => TagType[word],
  thread: (word: ThreadState) => ThreadStatus[word],
  sender: (word: Sender) => SenderEnum[word],
  notification: (word: Exclude<keyof typeof NotificationType, "UNSPECIFIED">) => NotificationType[word],
};
