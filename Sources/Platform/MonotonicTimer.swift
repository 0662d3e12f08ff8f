import CLinux
package import Primitives

// An alarm as a descriptor, for loops that must wake more exactly than in milliseconds.

package struct MonotonicTimer: ~Copyable, Sendable {
  /// Readable once the time that was set last has come.
  package let descriptor: Descriptor

  package init() throws(Errno) { descriptor = Descriptor(owning: try callNegated { cairn_timerfd() }) }

  /// Sets the alarm, instead of one that was set before; an instant that has passed makes it readable at once.
  package func set(_ instant: Instant) throws(Errno) {
    let number = descriptor.rawValue
    try callNegated { cairn_timerfd_set(number, instant.nanoseconds) }
  }
}
