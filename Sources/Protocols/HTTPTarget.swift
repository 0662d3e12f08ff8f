import Messages
import Primitives

// Which resource a path names. Riak has three generations of paths, and clients speak all of them:
// `/buckets/B/keys/K`, the same below `/types/T`, and of old `/riak/B/K`.

/// What operators ask over HTTP; the server answers from the node's status.
package enum AdminRoute: Sendable, Equatable, CaseIterable {
  case ping, ready, stats, metrics, status, ring, members, config, hints, antiEntropy, tombstones
  /// What the node looks up.
  case snapshots, quarantine
  /// What lies in a snapshot, and the bytes of one file of it.
  case snapshotFiles, snapshotFile
  /// Something to do, by POST; answered when it is done.
  case merge, snapshot, drainHints, removeSnapshot, holdPurges
  /// By POST where GET shows `antiEntropy`.
  case antiEntropyRound
  /// By POST where GET shows `quarantine`.
  case quarantineTask

  /// Asked for by POST, because it does something.
  package var isTask: Bool {
    switch self {
    case .merge, .snapshot, .drainHints, .removeSnapshot, .holdPurges, .antiEntropyRound, .quarantineTask: true
    default: false
    }
  }
  /// What a backup of the cluster asks of each node.
  package var isOfBackup: Bool {
    switch self {
    case .snapshotFiles, .snapshotFile, .removeSnapshot, .holdPurges: true
    default: false
    }
  }
  /// What POST does at the path where GET shows this; nil where there is nothing to do.
  var task: AdminRoute? {
    switch self {
    case .antiEntropy: .antiEntropyRound
    case .quarantine: .quarantineTask
    default: nil
    }
  }

  /// What is no JSON is text, which nobody is refused.
  var isJSON: Bool {
    switch self {
    case .ping, .ready, .metrics: false
    default: true
    }
  }
}

/// Which generation of paths a request has used; its answer names things in the same.
enum PathStyle: Sendable {
  /// `/buckets/B/keys/K`
  case plain
  /// `/types/default/buckets/B/keys/K`
  case typed
  /// `/riak/B/K`
  case old
}

/// What a path names.
enum HTTPRoute: Equatable {
  case object(ObjectKey, PathStyle)
  /// The keys of a bucket; in the old style also its properties.
  case keys(bucket: [UInt8], PathStyle)
  case buckets
  /// Of a bucket, or of the bucket type.
  case properties(bucket: [UInt8]?)
  case admin(AdminRoute)
  case root
  case problem(HTTPProblem)

  /// `target` as it stands in the request line, without its query.
  init(path bytes: [UInt8], _ target: Range<Int>) {
    guard let path = HTTPRoute.originForm(bytes, target) else {
      self = .problem(.malformed("target"))
      return
    }
    guard !path.isEmpty else {
      self = .root
      return
    }
    var segments = PathSegments(path)
    let first = segments.next(in: bytes) ?? path
    do throws(HTTPProblem) {
      if HTTPText.equals(bytes, first, "buckets") {
        self = try HTTPRoute.inBuckets(bytes, &segments, .plain)
      } else if HTTPText.equals(bytes, first, "types") {
        self = try HTTPRoute.inTypes(bytes, &segments)
      } else if HTTPText.equals(bytes, first, "riak") {
        self = try HTTPRoute.inRiak(bytes, &segments)
      } else {
        self = HTTPRoute.adminRoute(bytes, path).map { .admin($0) } ?? .problem(.notFound)
      }
    } catch {
      self = .problem(error)
    }
  }

  /// The path without its first slash and without one last slash; nil where there is no path.
  private static func originForm(_ bytes: [UInt8], _ target: Range<Int>) -> Range<Int>? {
    var start = target.lowerBound
    if HTTPText.hasPrefix(bytes, target, "http://") || HTTPText.hasPrefix(bytes, target, "https://") {
      start += bytes[start + 4] == UInt8(ascii: ":") ? 7 : 8
      start = bytes[start..<target.upperBound].firstIndex(of: slash) ?? target.upperBound
      if start == target.upperBound { return start..<start }
    }
    guard start < target.upperBound, bytes[start] == slash else { return nil }
    start += 1
    let end = target.upperBound > start && bytes[target.upperBound - 1] == slash ? target.upperBound - 1 : nil
    return start..<(end ?? target.upperBound)
  }

  private static let slash = UInt8(ascii: "/")

  /// What stands behind `/buckets`.
  private static func inBuckets(
    _ bytes: [UInt8], _ segments: inout PathSegments, _ style: PathStyle
  ) throws(HTTPProblem) -> HTTPRoute {
    guard let bucket = segments.next(in: bytes) else { return .buckets }
    guard let kind = segments.next(in: bytes) else { throw .notFound }
    if HTTPText.equals(bytes, kind, "keys") {
      guard let key = segments.next(in: bytes) else { return .keys(bucket: try name(bytes, bucket), style) }
      guard segments.next(in: bytes) == nil else { throw .notFound }
      return .object(try object(bytes, bucket, key), style)
    }
    guard HTTPText.equals(bytes, kind, "props"), segments.next(in: bytes) == nil else { throw .notFound }
    return .properties(bucket: try name(bytes, bucket))
  }

  /// What stands behind `/types`.
  private static func inTypes(_ bytes: [UInt8], _ segments: inout PathSegments) throws(HTTPProblem) -> HTTPRoute {
    guard let type = segments.next(in: bytes), let kind = segments.next(in: bytes) else { throw .notFound }
    let isBuckets = HTTPText.equals(bytes, kind, "buckets")
    guard isBuckets || HTTPText.equals(bytes, kind, "props") else { throw .notFound }
    var name: [UInt8] = []
    guard HTTPText.unescape(bytes, type, into: &name) else { throw .malformed("escape in bucket type") }
    guard name == ObjectKey.defaultType else {
      let text = String(decoding: name, as: UTF8.self)
      throw HTTPProblem(status: 404, text: "Unknown bucket type: \(text)")
    }
    if isBuckets { return try inBuckets(bytes, &segments, .typed) }
    guard segments.next(in: bytes) == nil else { throw .notFound }
    return .properties(bucket: nil)
  }

  /// What stands behind `/riak`.
  private static func inRiak(_ bytes: [UInt8], _ segments: inout PathSegments) throws(HTTPProblem) -> HTTPRoute {
    guard let bucket = segments.next(in: bytes) else { return .buckets }
    guard let key = segments.next(in: bytes) else { return .keys(bucket: try name(bytes, bucket), .old) }
    guard segments.next(in: bytes) == nil else { throw .notFound }
    return .object(try object(bytes, bucket, key), .old)
  }

  private static func name(_ bytes: [UInt8], _ bucket: Range<Int>) throws(HTTPProblem) -> [UInt8] {
    guard !bucket.isEmpty else { throw .malformed("empty bucket") }
    var name: [UInt8] = []
    guard HTTPText.unescape(bytes, bucket, into: &name) else { throw .malformed("escape in bucket") }
    // A key has at least one byte.
    guard name.count < ObjectKey.byteCountMax else { throw .nameTooLong }
    return name
  }

  private static func object(
    _ bytes: [UInt8], _ bucket: Range<Int>, _ key: Range<Int>
  ) throws(HTTPProblem) -> ObjectKey {
    guard !bucket.isEmpty else { throw .malformed("empty bucket") }
    guard !key.isEmpty else { throw .malformed("empty key") }
    // Straight into the encoded form of a key of the default type.
    var encoded: [UInt8] = []
    encoded.reserveCapacity(4 + bucket.count + key.count)
    encoded.appendLittleEndian(UInt32(0))
    guard HTTPText.unescape(bytes, bucket, into: &encoded) else { throw .malformed("escape in bucket") }
    let bucketCount = encoded.count - 4
    guard HTTPText.unescape(bytes, key, into: &encoded) else { throw .malformed("escape in key") }
    guard encoded.count - 4 <= ObjectKey.byteCountMax else { throw .nameTooLong }
    encoded.setLittleEndian(UInt16(bucketCount), at: 2)
    guard let key = ObjectKey(encoded: encoded) else { throw .malformed("key") }
    return key
  }

  private static func adminRoute(_ bytes: [UInt8], _ path: Range<Int>) -> AdminRoute? {
    switch path {
    case _ where HTTPText.equals(bytes, path, "ping"): .ping
    case _ where HTTPText.equals(bytes, path, "ready"): .ready
    case _ where HTTPText.equals(bytes, path, "stats"): .stats
    case _ where HTTPText.equals(bytes, path, "metrics"): .metrics
    case _ where HTTPText.equals(bytes, path, "admin/status"): .status
    case _ where HTTPText.equals(bytes, path, "admin/ring"): .ring
    case _ where HTTPText.equals(bytes, path, "admin/members"): .members
    case _ where HTTPText.equals(bytes, path, "admin/config"): .config
    case _ where HTTPText.equals(bytes, path, "admin/hints"): .hints
    case _ where HTTPText.equals(bytes, path, "admin/anti-entropy"): .antiEntropy
    case _ where HTTPText.equals(bytes, path, "admin/tombstones"): .tombstones
    case _ where HTTPText.equals(bytes, path, "admin/quarantine"): .quarantine
    case _ where HTTPText.equals(bytes, path, "admin/merge"): .merge
    case _ where HTTPText.equals(bytes, path, "admin/drain-hints"): .drainHints
    case _ where HTTPText.equals(bytes, path, "admin/snapshot"): .snapshot
    case _ where HTTPText.equals(bytes, path, "admin/snapshots"): .snapshots
    case _ where HTTPText.equals(bytes, path, "admin/snapshot-files"): .snapshotFiles
    case _ where HTTPText.equals(bytes, path, "admin/snapshot-file"): .snapshotFile
    case _ where HTTPText.equals(bytes, path, "admin/remove-snapshot"): .removeSnapshot
    case _ where HTTPText.equals(bytes, path, "admin/hold-purges"): .holdPurges
    default: nil
    }
  }
}

/// The parts of a path between its slashes, still escaped.
struct PathSegments {
  private var rest: Range<Int>?

  init(_ path: Range<Int>) { rest = path }

  mutating func next(in bytes: [UInt8]) -> Range<Int>? {
    guard let path = rest else { return nil }
    var end = path.lowerBound
    while end < path.upperBound, bytes[end] != UInt8(ascii: "/") { end += 1 }
    rest = end < path.upperBound ? end + 1..<path.upperBound : nil
    return path.lowerBound..<end
  }
}
