import Platform
import Primitives
import Protocols
import Replication
import Storage

// What lies in a node's snapshots, read for a backup over HTTP by a thread of its own: the loop neither waits for the
// disk nor holds a file open. A request reads at most `bytesMax`, and so many wait at most that memory stays bounded,
// however many ask. Nothing of the node's state is looked at: a snapshot never changes while it is there.

/// What is asked of one snapshot.
struct SnapshotWork: Sendable {
  enum Task: Sendable {
    case list(path: String)
    case read(path: String, offset: UInt64, count: Int)
    case remove
  }

  let session: SessionID
  let name: SnapshotName
  let task: Task

  /// Bytes of a file in one answer.
  static let bytesMax = 1 << 20
  /// Requests that wait for the thread; one more is answered 503.
  static let requestsMax = 16
}

struct SnapshotAnswer: Sendable {
  enum Content: Sendable {
    case document(JSON, status: Int)
    case bytes([UInt8])
  }

  let session: SessionID
  let content: Content
}

/// The snapshots of one node. Made and used on the thread that reads.
struct SnapshotFiles: Sendable {
  /// The directory `snapshots` of the node.
  let root: String

  /// Begins the name of what is being removed; no snapshot can be called so.
  private static let removingPrefix = "_removing-"
  private static let partsMax = 3

  init(data: String) { root = data + "/snapshots" }

  func perform(_ work: SnapshotWork) -> SnapshotAnswer {
    let directory = "\(root)/\(work.name)"
    do throws(Errno) {
      guard FileTree.exists(directory + "/snapshot") else {
        return refusal(work, 404, "there is no whole snapshot \(work.name) here")
      }
      switch work.task {
      case .list(let path): return answer(work, .document(try list(directory + path), status: 200))
      case .read(let path, let offset, let count):
        return answer(work, .bytes(try read(directory + path, from: offset, count: count)))
      case .remove:
        try remove(work.name)
        return answer(work, .document(.object([:]), status: 200))
      }
    } catch .noSuchFile {
      return refusal(work, 404, "there is no such file in snapshot \(work.name)")
    } catch {
      return refusal(work, 503, "snapshot \(work.name): \(error)")
    }
  }

  private func answer(_ work: SnapshotWork, _ content: SnapshotAnswer.Content) -> SnapshotAnswer {
    SnapshotAnswer(session: work.session, content: content)
  }

  private func refusal(_ work: SnapshotWork, _ status: Int, _ text: String) -> SnapshotAnswer {
    answer(work, .document(.object(["error": .string(text)]), status: status))
  }

  /// The names in a directory, those of directories without a size.
  private func list(_ directory: String) throws(Errno) -> JSON {
    var entries: [JSON] = []
    for name in try FileTree.names(in: directory) {
      guard let facts = FileTree.facts("\(directory)/\(name)") else { continue }
      entries.append(.object(["name": .string(name), "bytes": facts.isDirectory ? .null : .count(facts.bytes)]))
    }
    return .object(["entries": .array(entries)])
  }

  /// Fewer bytes only where the file ends.
  private func read(_ path: String, from offset: UInt64, count: Int) throws(Errno) -> [UInt8] {
    let file = try RawFile(reading: path)
    var bytes = [UInt8](repeating: 0, count: count)
    var filled = 0
    while filled < count {
      var rest = [UInt8](repeating: 0, count: count - filled)
      let got = try file.read(at: offset + UInt64(filled), count: rest.count, into: &rest)
      if got == 0 { break }
      bytes.replaceSubrange(filled..<filled + got, with: rest[..<got])
      filled += got
    }
    bytes.removeLast(count - filled)
    return bytes
  }

  /// First it is none any more, at once; then its files go. What a crash left of another removal goes too.
  private func remove(_ name: SnapshotName) throws(Errno) {
    try FileTree.move("\(root)/\(name)", to: "\(root)/\(Self.removingPrefix)\(name)")
    for left in try FileTree.names(in: root) where left.hasPrefix(Self.removingPrefix) {
      try FileTree.remove("\(root)/\(left)")
    }
  }

  /// The path below a snapshot, with a slash in front, that `text` names; nil when it could lead anywhere else.
  static func path(_ text: String) -> String? {
    if text.isEmpty { return "" }
    let parts = text.split(separator: "/", omittingEmptySubsequences: false)
    guard parts.count <= partsMax, parts.allSatisfy({ SnapshotName(String($0)) != nil }) else { return nil }
    return "/" + text
  }
}
