//! One installation: the loop that delivers.
