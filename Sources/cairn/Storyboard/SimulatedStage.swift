import Messages
import Protocols
import Simulation
import Storage

// The stage of the story of the late hint that is not real: the production node on simulated disks, with a clock that
// goes on only when it is told to. Here, and nowhere else, a rule of the delete protocol can be left out.

struct SimulatedStage: ClusterStage {
  /// Without these, each alone, the keys of the story come back. The other rules stand in the way of other copies.
  static let rules: [Rule] = [.floor, .hintStamp]

  /// What nodes do that do not keep to one of these.
  static func meaning(_ rule: Rule) -> String {
    switch rule {
    case .floor: "whatever an owner is sent creates its key there, however old it is"
    case .hintStamp: "a hint is handed over under a stamp of now, as if it had been written now"
    default: "it does not stand in the way of a late hint"
    }
  }

  private let cluster: StoryCluster
  private static let passMilliseconds: UInt64 = 20

  /// - Parameter rule: The one that no node keeps to; nil: they keep to all.
  init(without rule: Rule?) {
    var settings = StoryCluster.Settings()
    // As `LateHintStory.settings` has them for processes.
    settings.partitions = 4
    settings.handoffBytesPerSecond = 64 << 10
    settings.hintRetryMilliseconds = 3_600_000
    settings.tombstoneHoldMilliseconds = 200
    settings.feedMilliseconds = 100
    settings.antiEntropyMilliseconds = 1000
    cluster = StoryCluster(nodes: 3, settings, without: rule)
  }

  var milliseconds: UInt64 { cluster.milliseconds }

  func nodes() throws -> [StageNode] {
    if let stop = cluster.stops.first { throw Failure(stop) }
    return (1...3).map { number in
      let look = cluster.look(at: number)
      return StageNode(
        name: "n\(number)", isUp: look.isUp, values: look.values, tombstones: look.tombstones, reason: look.reason,
        hints: look.hints, turnedAway: look.turnedAway, quarantined: look.quarantined)
    }
  }

  func isWhole(_ number: Int) -> Bool { cluster.isWhole(number) }
  func kill(_ number: Int) { cluster.kill(number) }
  func start(_ number: Int) { cluster.start(number) }
  func pass() { cluster.advance(milliseconds: SimulatedStage.passMilliseconds) }

  /// As HTTP would say it.
  func put(_ key: String, _ value: [UInt8], through number: Int) throws -> Int {
    let content = ObjectContent(contentType: Array("text/plain".utf8), value: value)
    return answer(.put(PutRequest(key: try objectKey(key), payload: content.encoded())), through: number).status
  }

  func delete(_ key: String, through number: Int) throws -> Int {
    answer(.delete(DeleteRequest(key: try objectKey(key))), through: number).status
  }

  func get(_ key: String, r: Int, through number: Int) throws -> StageAnswer {
    var request = GetRequest(key: try objectKey(key))
    request.r = .count(r)
    return answer(.get(request), through: number)
  }

  private func answer(_ request: ClientRequest, through number: Int) -> StageAnswer {
    switch cluster.ask(number, request) {
    case .object(_, let payload, _)?:
      StageAnswer(
        status: 200, value: ObjectContent(payload: payload).map { String(decoding: $0.value, as: UTF8.self) } ?? "")
    case .notFound?: StageAnswer(status: 404)
    case .stored?, .deleted?: StageAnswer(status: 204)
    case .failed?, nil: StageAnswer(status: 503)
    }
  }

  private func objectKey(_ key: String) throws -> ObjectKey {
    guard let key = ObjectKey(bucket: Array("story".utf8), key: Array(key.utf8)) else {
      throw Failure("'\(key)' is no key")
    }
    return key
  }
}
