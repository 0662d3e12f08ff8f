import Primitives

// The state of one merge of one store, between its slices.

struct MergeRun {
  /// Ids of the files that are merged, ascending.
  let inputs: [UInt32]
  let rule: any MergeRule
  /// Index into `inputs` of the file being read, and how far it was.
  var position = 0
  var offset = UInt64(FileHeader.byteCount)
  /// The next record is longer than a slice.
  var bytesWanted = 0
  /// Index of the file that takes what stays.
  var output: Int?
  var outputs: [UInt32] = []
  var lookups: [UInt32: HintLookup] = [:]
  /// Files whose hint could not be used.
  var unreadable: Set<UInt32> = []
  var totals = MergeTotals()

  /// Hint files open at once for one merge.
  static let lookupsMax = 32

  init(_ inputs: [UInt32], rule: any MergeRule) {
    self.inputs = inputs
    self.rule = rule
  }

  /// All inputs were read.
  var isCopied: Bool { position == inputs.count }
}

/// What merges did, in bytes of records.
package struct MergeTotals: Equatable, Sendable {
  package var bytesRead: UInt64 = 0
  package var bytesCopied: UInt64 = 0
  package var recordsCopied = 0
  package var recordsDropped = 0
  package var tombstonesDropped = 0
  /// Dead tombstones that had to stay (rule OVERLAP).
  package var tombstonesBlocked = 0
  package init() {}

  /// What was added since it stood at `earlier`.
  package func since(_ earlier: MergeTotals) -> MergeTotals {
    var change = self
    change.bytesRead -= earlier.bytesRead
    change.bytesCopied -= earlier.bytesCopied
    change.recordsCopied -= earlier.recordsCopied
    change.recordsDropped -= earlier.recordsDropped
    change.tombstonesDropped -= earlier.tombstonesDropped
    change.tombstonesBlocked -= earlier.tombstonesBlocked
    return change
  }

  package static func += (a: inout MergeTotals, b: MergeTotals) {
    a.bytesRead += b.bytesRead
    a.bytesCopied += b.bytesCopied
    a.recordsCopied += b.recordsCopied
    a.recordsDropped += b.recordsDropped
    a.tombstonesDropped += b.tombstonesDropped
    a.tombstonesBlocked += b.tombstonesBlocked
  }
}

/// What a slice of a merge came to.
enum MergeSlice {
  /// It read its budget.
  case worked
  /// Nothing goes on before these bytes are there.
  case cold(ColdRead)
  /// Everything that stays stands in the outputs, though not durably.
  case copied
}
