import Causality
import Cluster
import Messages
import Primitives
import Storage

// Taking in what was asked for (rules PULL and GUARD, Docs/DeleteProtocol.md). A pulled record is an answer to a question of this
// node's to an owner that serves, so it may create its key below the floor, which a push may not; but not when its key
// may have been purged since the question. It is acknowledged to nobody: it becomes durable as any write does.

extension Node where Disk: ~Copyable {
  /// A store that is being filled waits so long for a disk that refuses.
  private static var refusalPauseMilliseconds: UInt64 { 1000 }

  mutating func receivePullReply(_ reply: PeerPullReply, from node: NodeID, at now: Moment) {
    if takeValidation(reply, from: node, at: now) { return }
    guard let index = exchange(asking: reply.operation, node) else { return }
    exchanges.isActive = true
    switch reply.outcome {
    // Its copy of a record is damaged, and comes back to it from elsewhere.
    case .refused(.damaged) where exchanges.running[index].asksForItems:
      exchanges.running[index].take(PullPage(records: [], next: nil, floor: .zero))
    case .refused(let refusal): refused(index, refusal, node, at: now)
    case .page(let page):
      guard isAsked(page, index) else { return failExchange(index, "\(name(node)) answered what was not asked") }
      let store = exchangeStore(index)
      if exchanges.running[index].isRefill { engine?.raiseFloor(store, to: page.floor) }
      exchanges.allowance -= page.records.reduce(0) { $0 + $1.byteCount }
      exchanges.running[index].take(page)
    }
  }

  /// Every record is one that was asked for, and the page gets on.
  private func isAsked(_ page: PullPage, _ index: Int) -> Bool {
    let exchange = exchanges.running[index]
    guard case .pull(let pull)? = exchange.question?.body else { return false }
    var last: UInt64 = 0
    for record in page.records {
      let hash = hash(record.key)
      guard storeID(hash) == pull.store, hash >= last, page.next.map({ hash < $0 }) ?? true else { return false }
      last = hash
      switch pull.subject {
      case .items(let items):
        guard let item = items.item(of: hash), record.version.stamp > item.above else { return false }
      case .range(let segment, let from):
        guard segmentNumber(of: hash) == segment, hash >= from else { return false }
      }
    }
    guard let next = page.next else { return true }
    switch pull.subject {
    case .items(let items): return items.first.map { next > $0.hash } ?? false
    case .range(let segment, let from):
      return next > from && storeID(next) == pull.store && segmentNumber(of: next) == segment
    }
  }

  /// Applies what has come until the disk must be asked.
  mutating func applyPulled(_ index: Int, _ engine: Engine, at now: Moment) -> ExchangeMove {
    let store = exchangeStore(index)
    guard let generation = exchanges.running[index].generation else { return .failed("nothing was asked") }
    while exchanges.running[index].nextRecord < exchanges.running[index].records.count {
      guard exchanges.looksLeft > 0 else { return .hungry }
      exchanges.looksLeft -= 1
      let record = exchanges.running[index].records[exchanges.running[index].nextRecord]
      let hash = hash(record.key)
      let warm = exchanges.running[index].warm
      exchanges.running[index].warm = nil
      identity.clock.observe(record.version.stamp.time)
      do throws(StorageError) {
        switch try engine.applyPulled(
          record.version, key: record.key, hash: hash, to: store, since: generation, warm: warm, on: &disk)
        {
        case .applied: notePulled(index, record)
        case .equal, .newer: break
        case .guarded:
          counters.antiEntropy.guarded += 1
          exchanges.running[index].again.append(PullItem(hash: hash, above: .zero))
        case .cold(let read): return readForExchange(index, read, at: now)
        case .refused(let disk): return refusedByDisk(index, refusal(disk), at: now)
        }
      } catch {
        let refused = refusal(of: store, error)
        // The copy here is damaged: its repair brings what is newest.
        guard fencesHashAlone(error, in: store, engine) else { return .failed(describe(.refused(refused), of: own.id)) }
      }
      exchanges.running[index].nextRecord += 1
    }
    exchanges.running[index].records = []
    exchanges.running[index].nextRecord = 0
    exchanges.running[index].obstacle = nil
    return .goesOn
  }

  private mutating func notePulled(_ index: Int, _ record: PulledRecord) {
    let pair = exchanges.running[index].pair
    let bytes = UInt64(record.byteCount)
    counters.antiEntropy.keysPulled += 1
    counters.antiEntropy.bytesPulled += bytes
    exchanges.pairs[pair].keysPulled += 1
    exchanges.pairs[pair].bytesPulled += bytes
    guard !exchanges.running[index].isRefill else { return }
    exchanges.pairs[pair].found += 1
    exchanges.pairs[pair].foundBytes += bytes
  }

  /// A round is tried again when it is due; a store that is being filled waits here.
  private mutating func refusedByDisk(_ index: Int, _ refusal: Refusal, at now: Moment) -> ExchangeMove {
    let reason = describe(.refused(refusal), of: own.id)
    guard exchanges.running[index].isRefill else { return .failed(reason) }
    exchanges.running[index].obstacle = reason
    exchanges.running[index].pausedUntil = now.instant.adding(milliseconds: Self.refusalPauseMilliseconds)
    return .waits
  }
}

extension Exchange {
  fileprivate var asksForItems: Bool {
    if case .pull(let pull)? = question?.body, case .items = pull.subject { true } else { false }
  }

  /// What a page answers is not asked for again.
  fileprivate mutating func take(_ page: PullPage) {
    question = nil
    records = page.records
    nextRecord = 0
    if recordsFrom != nil, itemsAsked == 0 {
      recordsFrom = page.next
      // Rule AAE: what was forgotten here is not brought back from where it waits still.
      if valuesOnly { records.removeAll { $0.version.isTombstone } }
    } else {
      let answered = page.next.map { next in items.prefix(itemsAsked).count { $0.hash < next } } ?? itemsAsked
      items.removeFirst(answered)
      itemsAsked = 0
    }
  }
}

extension [PullItem] {
  /// The one with this hash, of items in order.
  func item(of hash: UInt64) -> PullItem? {
    var low = 0
    var high = count
    while low < high {
      let middle = (low + high) / 2
      if self[middle].hash < hash { low = middle + 1 } else { high = middle }
    }
    return low < count && self[low].hash == hash ? self[low] : nil
  }
}
