import Causality
import Cluster
import Messages
import Primitives
import Storage

// Keeping writes for owners that cannot take them now: as a fallback, or as the coordinator itself. Per owner and key
// the newest write is kept, in a store of this node's engine (`StoreID.hints`), durable like any other write, until it
// is handed over (`Node+Handoff.swift`) or a newer one takes its place; never dropped for its age (rule HINTS,
// Docs/DeleteProtocol.md). What does not fit into `hints_max` is refused and counted.

extension Node where Disk: ~Copyable {
  /// Hints that wait here, whomever they are for.
  package var hintsWaiting: Int {
    guard let engine else { return 0 }
    return engine.hintStoreIDs.reduce(0) { $0 + ($1 == quarantine ? 0 : engine.hintStatus($1).count) }
  }

  enum HintOutcome {
    /// It is kept, or something newer is, up to this position.
    case kept(LogPosition)
    case newer(Stamp, LogPosition)
    case cold(ColdRead)
    case refused(Refusal)
  }

  /// Keeps a hint that this node owes as a coordinator: nobody waits for it and it counts for nothing.
  mutating func keep(_ offer: HintOffer, warm: WarmBytes?) {
    switch store(offer, warm: warm) {
    case .kept: counters.hintsKept += 1
    case .newer: break
    case .cold(let read):
      if !readCold(read, for: .hint(offer)) { hintRefused(offer, .overloaded) }
    case .refused(let refusal): hintRefused(offer, refusal)
    }
  }

  mutating func hintRefused(_ offer: HintOffer, _ refusal: Refusal) {
    counters.hintsRefused += 1
    guard lastHintComplaint.map({ lastTick.milliseconds(since: $0) >= Self.hintComplaintMilliseconds }) ?? true else {
      return
    }
    lastHintComplaint = lastTick
    free.append(
      .log(
        .warning,
        "a hint for \(name(offer.owner)) is not kept: \(own.name): \(refusal); \(counters.hintsRefused) so far: "
          + "it gets those writes by anti-entropy"))
  }

  /// How often at most the operator is told that hints are refused.
  private static var hintComplaintMilliseconds: UInt64 { 10_000 }

  /// A coordinator asks this node, as a fallback, to keep a write.
  mutating func receiveHint(_ push: Push, for owner: NodeID, from node: NodeID, warm: WarmBytes?) {
    guard phase == .opening || phase == .serving else { return replyToPush(push, to: node, .refused(.notReady)) }
    guard push.store.partition < ring.partitionCount, push.store == storeID(hash(push.key.encoded)),
      push.configID == configID(push.store), owners(push.store).contains(owner), owner != own.id
    else { return replyToPush(push, to: node, .refused(.wrongConfig)) }
    guard held.count + unflushed.count < Self.heldMax, !chaos.strikes(.heldFull) else {
      return replyToPush(push, to: node, .refused(.overloaded))
    }
    identity.clock.observe(push.version.stamp.time)
    let offer = HintOffer(owner: owner, key: push.key, hash: hash(push.key.encoded), version: push.version)
    switch store(offer, warm: warm) {
    case .kept(let position):
      counters.hintsKept += 1
      acknowledge(push, in: .hints(for: owner), to: node, position) { .applied(synced: $0) }
    case .newer(let stamp, let position):
      acknowledge(push, in: .hints(for: owner), to: node, position) { .haveNewer(stamp, synced: $0) }
    case .cold(let read):
      if !readCold(read, for: .push(push, from: node)) { replyToPush(push, to: node, .refused(.overloaded)) }
    case .refused(let refusal):
      hintRefused(offer, refusal)
      replyToPush(push, to: node, .refused(refusal))
    }
  }

  private mutating func store(_ offer: HintOffer, warm: WarmBytes?) -> HintOutcome {
    let id = StoreID.hints(for: offer.owner)
    guard let engine, engine.contains(id) else { return .refused(.notReady) }
    guard engine.role(id) == .active else { return .refused(.damaged) }
    let bytes = RecordHeader.byteCount(
      keyLength: offer.key.encoded.count, offer.version)
    guard engine.hintBytes(besides: quarantine) + UInt64(bytes) <= options.hintBytesMax, !chaos.strikes(.hintRefused)
    else {
      return .refused(.hintsFull)
    }
    do throws(StorageError) {
      switch try engine.apply(
        offer.version, key: offer.key.encoded, hash: offer.hash, to: id, warm: warm, on: &disk)
      {
      case .applied(let position), .equal(let position):
        handoffs.noteKept(for: offer.owner)
        return .kept(position)
      case .newer(let stamp, let position): return .newer(stamp, position)
      case .belowFloor: return .refused(.damaged)
      case .cold(let read): return .cold(read)
      case .refused(let disk): return .refused(refusal(disk))
      }
    } catch {
      return .refused(refusal(of: id, error))
    }
  }

  // MARK: - Read as a stand-in

  /// The newest hint that this node keeps of a key, for any of its owners: with it the node stands in for that owner.
  /// Without one it says nothing, because it does not know what the owner holds.
  mutating func readHint(_ key: ObjectKey, hash: UInt64, store: StoreID, warm: WarmBytes?) -> StoreAnswer {
    guard let engine, store == storeID(hash) else { return .done(.refused(.notOwner)) }
    var newest: StoredVersion?
    var isDamaged = false
    for owner in owners(store) where owner != own.id {
      let id = StoreID.hints(for: owner)
      guard engine.contains(id) else { continue }
      guard engine.role(id) == .active else {
        isDamaged = true
        continue
      }
      guard engine.hintStatus(id).count > 0 else { continue }
      do throws(StorageError) {
        switch try engine.lookup(key: key.encoded, hash: hash, in: id, warm: warm, on: &disk) {
        case .absent: continue
        case .found(let version): if newest.map({ $0.rank < version.rank }) ?? true { newest = version }
        case .cold(let read): return .cold(read)
        }
      } catch {
        return .done(.refused(refusal(of: id, error)))
      }
    }
    if let newest { return .done(.found(newest)) }
    return .done(isDamaged ? .refused(.damaged) : .absent(floor: .zero))
  }
}
