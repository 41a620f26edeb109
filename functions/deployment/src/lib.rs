//! What the functions share: the settings of a deployment and the parts made from them.
