//! Who is in the cluster: announcements in, a watched view out.
