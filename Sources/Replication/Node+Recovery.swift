import Messages
import Storage

// What opening the stores found, told once: `/admin/status` goes on saying it.

extension Node where Disk: ~Copyable {
  /// Damaged stores beyond these share a line.
  package static var damageLinesMax: Int { 16 }

  mutating func tellRecovery() {
    for damage in recovery.damaged.prefix(Self.damageLinesMax) {
      free.append(.log(.error, "store \(damage.store) is fenced: \(damage.error.text(naming: objectName))"))
    }
    let more = recovery.damaged.count - Self.damageLinesMax
    if more > 0 {
      free.append(
        .log(.error, "\(more) more \(more == 1 ? "store is" : "stores are") fenced: /admin/status names them"))
    }
    let damaged = Set(recovery.damaged.map(\.store))
    let fenced = engine?.storeIDs.filter { engine?.role($0) == .fenced && !damaged.contains($0) } ?? []
    if let first = fenced.first {
      let which = fenced.count == 1 ? "store \(first) is" : "\(fenced.count) stores are"
      let more = fenced.count == 1 ? "" : "; \(first) is the first"
      free.append(
        .log(
          .warning,
          "\(which) fenced since an earlier start or repair: nothing is served until it is filled again\(more)"))
    }
    if let problem = recovery.promisesProblem {
      free.append(
        .log(
          .error,
          "\(problem); peers that were told more than the stores say will find them regressed, and they are made anew"))
    }
    if recovery.bytesCut > 0 {
      let journal = recovery.journalRecords > 0 ? "; writes taken from the journal: \(recovery.journalRecords)" : ""
      free.append(
        .log(
          .info,
          "cut \(recovery.bytesCut) bytes that were no whole records and never known to be durable\(journal)"))
    }
  }
}
