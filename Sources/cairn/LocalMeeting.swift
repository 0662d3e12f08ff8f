import Client
import Platform
import Primitives
import Protocols

// A node serves as soon as its own files are read. For a moment more it does not hear the others, or they have not yet
// found whole what it holds: a request that comes then may find too few copies and be refused. So `cairn local` waits
// that long too; but who is cut off, or sleeps, is not waited for for ever, and fails nothing.

enum LocalMeeting {
  /// How long nodes that serve may take until they hear each other.
  static let patienceMilliseconds: UInt64 = 5_000
  private static let lookMilliseconds = 500

  /// Waits until all nodes that run hear each other and nothing of theirs is still being compared.
  static func wait(_ cluster: LocalCluster) {
    let clock = SystemClock()
    let deadline = clock.instant().adding(milliseconds: patienceMilliseconds)
    let running = cluster.nodes.filter { cluster.running($0) != nil }
    let names = running.map { cluster.name($0) }
    var waiting = running
    while clock.instant() < deadline {
      waiting = waiting.filter { !hasMet(names, cluster.endpoint($0)) }
      if waiting.isEmpty { return }
      pause(milliseconds: 20)
    }
  }

  private static func hasMet(_ names: [String], _ endpoint: Endpoint) -> Bool {
    do throws(Failure) {
      return hasMet(
        names, try askedDocument("GET", "/admin/status", endpoint, patienceMilliseconds: lookMilliseconds))
    } catch {
      return false
    }
  }

  /// True when a node with this status hears all of these others, and serves all that it holds.
  static func hasMet(_ names: [String], _ status: JSON) -> Bool {
    let heard = (status["peers"]?.array ?? []).filter { $0["link"]?.string == "up" }.compactMap { $0["name"]?.string }
    let others = names.filter { $0 != status["name"]?.string }
    return status["state"]?.string == "serving" && status["stores_unvalidated"]?.integer == 0
      && others.allSatisfy(heard.contains)
  }
}
