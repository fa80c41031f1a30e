//! Alerts: what is told to people, through which channels, who is told what, and what is kept quiet.

mod channel;
mod kind;
mod route;
mod view;

pub use channel::{
    ChannelRequest, ChannelSecret, ChannelSpec, ChannelView, SmtpSpec, SmtpTls, TelegramSpec,
    WebhookSpec,
};
pub use kind::{AlertKind, AlertKindError, Severity, SeverityError};
pub use route::{RouteSpec, RouteView, SilenceRequest, SilenceView};
pub use view::{AlertView, DeliveryState, DeliveryView, Occasion, TestRequest, TestView};
