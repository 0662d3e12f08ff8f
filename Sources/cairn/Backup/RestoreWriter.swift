import Causality
import Client
import Messages
import Platform
import Primitives
import Protocols

// Values on their way into a new cluster: ordinary writes, many in flight, each repeated while the cluster may come
// back. It has the window and the verdicts of an import; its records come from a merge instead of a file.

/// How restoring goes.
struct RestoreCounts: Equatable {
  var stored = 0
  var bytes = 0
  /// Were there already: a restore that was broken off had written them.
  var present = 0
  /// Were refused, and would be again.
  var rejected = 0
}

final class RestoreWriter {
  private static let turnMilliseconds = 100
  /// Objects that were refused and are named; more are counted.
  static let rejectionsNamedMax = 20

  private let pump: RequestPump
  private let inFlightMax: Int
  private let retryMilliseconds: UInt64
  private let isResumed: Bool
  private var window = ImportWindow()
  /// Of those, going on with a broken restore, that are not known to be absent yet: they are read first.
  private var unread: Set<Int> = []
  private var trouble = ""
  private(set) var counts = RestoreCounts()
  /// The first objects that were refused, each with the reason.
  private(set) var rejections: [String] = []
  private let hasDefaultLifetime: Bool

  init(_ target: RestoreTarget, inFlightMax: Int, retryMilliseconds: Int, isResumed: Bool) throws {
    var plan = RequestPump.Limits()
    plan.inFlightPerConnectionMax = min(inFlightMax, 64)
    plan.connectionsPerEndpoint = inFlightMax / plan.inFlightPerConnectionMax / target.endpoints.count + 1
    pump = try RequestPump(target.endpoints, limits: plan)
    self.inFlightMax = inFlightMax
    self.retryMilliseconds = UInt64(retryMilliseconds)
    self.isResumed = isResumed
    hasDefaultLifetime = target.hasDefaultLifetime
  }

  /// Takes a value, when there is room for it. One that the cluster refuses is noted, and the others go on.
  /// - Throws: `Failure` when it stays away.
  func write(_ found: BackupMerge.Found) throws {
    guard let record = record(of: found) else {
      return reject(found.key, "it is no object of this release; use the one that wrote it")
    }
    while !window.hasRoom { try turn(waits: true) }
    if isResumed { unread.insert(window.front + window.count) }
    window.append(record)
    if window.readyCount >= inFlightMax { try turn(waits: false) }
  }

  /// Waits until everything is stored.
  func finish() throws {
    while !window.isEmpty { try turn(waits: true) }
  }

  private func turn(waits: Bool) throws {
    window.wake(now: pump.now)
    while pump.inFlight < inFlightMax, let number = window.nextReady {
      let record = window[number]
      let isTaken = pump.offer(UInt64(number)) { out, endpoint in
        out.append(contentsOf: unread.contains(number) ? "GET ".utf8 : "PUT ".utf8)
        out.append(contentsOf: record.begin)
        out.append(contentsOf: endpoint.authority)
        out.append(contentsOf: unread.contains(number) ? Array("\r\n\r\n".utf8) : record.end)
      }
      guard isTaken else { break }
      window.sent()
    }
    for completion in try pump.poll(timeoutMilliseconds: waits ? Self.turnMilliseconds : 0) { try settle(completion) }
    while let record = window.takeSettled() {
      if case .rejected(let reason) = record.state {
        reject(record.raw ?? [], reason)
      } else {
        counts.bytes += record.valueBytes
      }
    }
    if let failure = window.oldestFailure(), pump.now.milliseconds(since: failure) >= retryMilliseconds {
      throw Failure("no success for \(retryMilliseconds / 1000) s: \(trouble); --resume goes on")
    }
  }

  private func settle(_ completion: PumpCompletion) throws(Failure) {
    let number = Int(completion.tag)
    if unread.contains(number), completion.status == 404 {
      unread.remove(number)
      return window.retry(number, now: pump.now)
    }
    if unread.contains(number), completion.status == 200 {
      unread.remove(number)
      let record = window[number]
      guard pump.body(of: completion).elementsEqual(record.end.suffix(record.valueBytes)) else {
        throw Failure(
          "\(record.raw.map(objectName) ?? "?") is there with another value: somebody has written to this cluster since, "
            + "and --resume would undo that. Restore into an empty cluster")
      }
      counts.present += 1
      return window.acknowledge(number)
    }
    switch ImportVerdict(status: completion.status) {
    case .stored:
      counts.stored += 1
      window.acknowledge(number)
    case .rejected:
      window.reject(number, pump.reason(completion))
    case .again:
      trouble = pump.reason(completion)
      window.retry(number, now: pump.now)
    }
  }

  private func reject(_ key: [UInt8], _ reason: String) {
    counts.rejected += 1
    if rejections.count < Self.rejectionsNamedMax { rejections.append("\(objectName(key)): \(reason)") }
  }

  // MARK: One value

  /// A put of it: type, bucket and key, everything that was stored beside the value, and the value.
  private func record(of found: BackupMerge.Found) -> ImportRecord? {
    guard let key = ObjectKey(encoded: found.key), let content = ObjectContentView(payload: found.payload) else {
      return nil
    }
    let record = ImportRecord(offset: 0, endOffset: 0, line: 0, nextLine: 0, raw: found.key)
    record.keyHash = keyHash(found.key)
    record.valueBytes = content.value.count
    RestoreWriter.appendPath(key, to: &record.begin)
    record.begin += " HTTP/1.1\r\nHost: ".utf8
    ObjectRequests.appendPutEnd(
      headers: headers(of: content, found.expiry), value: found.payload[content.value], &record.end)
    return record
  }

  /// Whatever belongs to a version besides its value goes in here.
  private func headers(of content: ObjectContentView, _ expiry: Expiry) -> [UInt8] {
    var headers: [UInt8] = []
    func append(_ name: some Sequence<UInt8>, _ value: Range<Int>) {
      headers += name
      headers += ": ".utf8
      headers += content.payload[value]
      headers += "\r\n".utf8
    }
    if !content.contentType.isEmpty { append("Content-Type".utf8, content.contentType) }
    content.forEachMetadata { name, value in append(content.payload[name], value) }
    headers += RestoreWriter.lifetime(expiry, hasDefault: hasDefaultLifetime)
    return headers
  }

  /// When it expires, in whole seconds and not before its time; else, where the new cluster has a `default_ttl`, that it
  /// never does.
  static func lifetime(_ expiry: Expiry, hasDefault: Bool) -> [UInt8] {
    guard expiry != .never else { return hasDefault ? Array("X-Cairn-Expires-In: never\r\n".utf8) : [] }
    var line = Array("X-Cairn-Expires-At: ".utf8)
    line.appendHTTPDate(milliseconds: min(expiry.milliseconds + 999, Expiry.last.milliseconds))
    return line + "\r\n".utf8
  }

  private static func appendPath(_ key: ObjectKey, to out: inout [UInt8]) {
    if key.type != ObjectKey.defaultType {
      out += "/types/".utf8
      appendSegment(key.type, to: &out)
    }
    out += "/buckets/".utf8
    appendSegment(key.bucket, to: &out)
    out += "/keys/".utf8
    appendSegment(key.key, to: &out)
  }

  /// A segment of dots would mean something else in a path.
  private static func appendSegment(_ bytes: [UInt8], to out: inout [UInt8]) {
    let dot = UInt8(ascii: ".")
    if bytes.count <= 2, bytes.allSatisfy({ $0 == dot }) {
      for _ in bytes { out += "%2E".utf8 }
    } else {
      out.appendEscaped(bytes[...])
    }
  }
}
