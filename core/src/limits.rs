//! Every bound of the system, with its unit and the arithmetic behind it, in one place.

/// Bytes of one entry's changes: a household with its longest notes is under 4 KiB, a catalogue
/// ledger as TOML under 40 KiB.
pub const ENTRY_BYTES_MAX: usize = 64 * 1024;
/// Bytes of changes at which a segment is cut.
pub const SEGMENT_BYTES_CUT: usize = 16 * 1024;
/// Entries at which a segment is cut.
pub const SEGMENT_ENTRIES_MAX: usize = 64;
/// Bytes of one segment in plain form: the cut, one largest entry, and header, names and actions of
/// 64 entries at 512 bytes.
pub const SEGMENT_BYTES_MAX: usize = SEGMENT_BYTES_CUT + ENTRY_BYTES_MAX + 64 * 512;
/// Changes in one entry: a household of 20 people entered at once is 21.
pub const ENTRY_CHANGES_MAX: usize = 256;
/// Feeds named in one `sees`: authors that ever wrote directives on one path; 4 levels, 2 replicas,
/// 10 epochs each, with room.
pub const SEES_FEEDS_MAX: usize = 512;
/// Bytes of a person's name, a role, or an action word.
pub const NAME_BYTES_MAX: usize = 128;
/// Operations in one change: a form of 60 fields, a set of 100 elements, with room.
pub const CHANGE_OPS_MAX: u64 = 1024;
/// Bytes of one change: an entry may be one change.
pub const CHANGE_BYTES_MAX: usize = ENTRY_BYTES_MAX;
/// Dependencies of one change: concurrent tips of one record.
pub const CHANGE_DEPS_MAX: usize = 64;
/// Highest operation counter in a document; Automerge fails above `u32::MAX` (AUTOMERGE.md §5).
pub const OP_COUNTER_MAX: u64 = 1 << 30;
/// Highest Lamport counter of an entry: a thousand entries a second for thirty years.
pub const LAMPORT_MAX: u64 = 1 << 40;
/// Bytes of one root key (`field/element`).
pub const KEY_BYTES_MAX: usize = 256;
/// Bytes of one blob: a scan of several pages, a photo of a telephone (DESIGN §4).
pub const BLOB_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// Heads in the frontier of a frozen report: 120 bytes each stay under [`BLOB_BYTES_MAX`].
pub const FRONTIER_HEADS_MAX: usize = 128 * 1024;
/// Bytes of one part of a blob: four seconds of a line of 64 kbit/s, so that a segment never waits
/// longer behind a photo.
pub const BLOB_PART_BYTES: usize = 32 * 1024;
/// Missing blobs that one link is told of at a time; the rest follow when it greets again.
pub const BLOBS_WANTED_MAX: usize = 4096;
/// Bytes that stay free when a blob of another office is taken: what this office saves goes on for months.
pub const BLOB_RESERVE_BYTES: u64 = 1024 * 1024 * 1024;
/// Bytes of an attachment's name in its key: with two hashes of 64 digits, two lengths and the field's
/// name it stays under [`KEY_BYTES_MAX`].
pub const ATTACHMENT_NAME_BYTES_MAX: usize = 48;
/// Bytes of one value: a long note, or a catalogue ledger.
pub const VALUE_BYTES_MAX: usize = 60 * 1024;
/// Changes of one record that are folded; later ones are parked as `record too long`.
pub const RECORD_CHANGES_MAX: usize = 20_000;

/// Amount of one movement of a right, in its unit: ten thousand million yuan in fen; nine million such
/// movements of one pool still add up in 64 bits.
pub const RIGHT_AMOUNT_MAX: i64 = 1_000_000_000_000;

/// Bytes of a CEL expression (DESIGN §3).
pub const EXPRESSION_BYTES_MAX: usize = 1024;
/// Nesting of a CEL expression, in syntax levels.
pub const EXPRESSION_DEPTH_MAX: usize = 32;
/// Nesting of comprehensions.
pub const COMPREHENSION_DEPTH_MAX: usize = 2;
/// Rows that one related list of a rule may hold.
pub const RELATED_ROWS_MAX: usize = 10_000;
/// Bytes of one catalogue file.
pub const CATALOGUE_BYTES_MAX: usize = VALUE_BYTES_MAX;

/// Certificates in a chain, leaf first, root last: leaf, township, county, city, root.
pub const CHAIN_CERTIFICATES_MAX: usize = 6;
/// Bytes of one certificate.
pub const CERTIFICATE_BYTES_MAX: usize = 4 * 1024;

/// Bytes of one message on a link; the largest is a list of frontiers or one segment.
pub const MESSAGE_BYTES_MAX: usize = 1024 * 1024;
/// Segments sent and not yet acked on one link.
pub const SEGMENTS_IN_FLIGHT_MAX: usize = 256;
/// Bytes sent and not yet acked on one link.
pub const BYTES_IN_FLIGHT_MAX: usize = 2 * 1024 * 1024;
/// Bytes asked of the store in one read for one link.
pub const READ_BYTES_MAX: usize = 256 * 1024;
/// Verified segments that may wait for one commit on one link.
pub const COMMIT_SEGMENTS_MAX: usize = 512;
/// Segments that may wait for their author's chain on one link.
pub const CHAIN_WAITING_MAX: usize = 64;
/// Segments of one link that may wait for their predecessor.
pub const EARLY_SEGMENTS_MAX: usize = 64;
/// Frontiers put into one message: 100 bytes each stay under [`MESSAGE_BYTES_MAX`].
pub const FRONTIERS_PER_MESSAGE: usize = 4096;
/// Slices whose frontiers a greeting carries, so that a village resumes in one round trip.
pub const GREETING_SLICES_MAX: usize = 32;
/// Receipts that a greeting names.
pub const GREETING_RECEIPTS_MAX: usize = 64;
/// Receipts put into one message.
pub const RECEIPTS_PER_MESSAGE: usize = 512;
/// Feeds that one peer may state on one link: what a city of five thousand offices makes in decades.
pub const STATED_FEEDS_MAX: usize = 512 * 1024;
/// Messages of receipts of one peer that wait to be taken in: more is no burst but a flood.
pub const RECEIPT_MESSAGES_MAX: usize = 128;
/// Sync streams of one replica at once: its own, those that its line lost and nobody noticed yet, a clone's.
pub const STREAMS_PER_REPLICA_MAX: usize = 8;

/// Bytes of messages after which a bundle goes on in another file: a stick of FAT32 takes it, a PC of 1 GiB
/// opens it.
pub const BUNDLE_BYTES_CUT: usize = 32 * 1024 * 1024;
/// Bytes of an encrypted file's content, unpacked: a bundle with room, or the directives of a large city.
pub const FILE_BODY_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Bytes of an encrypted file's header: certificates, and a wrapped key for each of many receivers.
pub const FILE_HEADER_BYTES_MAX: usize = 256 * 1024;

/// Milliseconds after which a silent link is closed: twice the interval of the heartbeat.
pub const LINK_SILENCE_MS: i64 = 60_000;
/// Milliseconds between two heartbeats.
pub const HEARTBEAT_MS: i64 = 25_000;
/// Slices up to which a session counts its progress after every message ...
pub const PROGRESS_SLICES: usize = 256;
/// ... and how often above, in milliseconds.
pub const PROGRESS_MS: i64 = 300;
/// How long a link waits for further directives before its scope is derived again, in milliseconds.
pub const SCOPE_DELAY_MS: u64 = 300;
/// Milliseconds before the first retry of a lost link.
pub const BACKOFF_FIRST_MS: i64 = 500;
/// Milliseconds between retries at most: a mountain line is up for seconds, and a dial costs next to nothing.
pub const BACKOFF_MAX_MS: i64 = 20_000;
/// Milliseconds without work after which receipts are signed.
pub const RECEIPT_DELAY_MS: i64 = 150;
/// Milliseconds that a receipt waits for more segments at most: over a slow line one for each segment
/// would cost more than the segments.
pub const RECEIPT_DELAY_MAX_MS: i64 = 2_000;
/// Milliseconds that own entries wait in the tail before a live link flushes them.
pub const FLUSH_DELAY_MS: i64 = 20;

/// Characters of an audit line; what is longer is cut.
pub const AUDIT_CHARS_MAX: usize = 400;
/// Refusals of one kind that each get an audit line of their own within ...
pub const REFUSALS_AUDITED: u64 = 5;
/// ... this many milliseconds; of more only the count is written down.
pub const REFUSALS_MS: i64 = 600_000;

/// Clock difference between two replicas that is shown as 请校时, in milliseconds: one day, DOMAIN.md
/// parameter 71.
pub const CLOCK_SKEW_MS: i64 = 24 * 3_600_000;
